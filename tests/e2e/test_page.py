"""The page as a whole: safe, light, and at home on every screen."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

MAX_PAGE_BYTES = 60_000
README_SCREENSHOT_BYTES = 120_000


def test_nothing_is_asked_of_anyone_else(page: Any, server: Any) -> None:
    page.draw("seven-plain")
    page.expect_digit("7")
    assert {request.url.partition("://")[2].partition("/")[0] for request in page.requests} == {
        server.url.partition("://")[2]
    }


def test_the_policy_forbids_everything_inline(page: Any) -> None:
    """The page's own violations would have failed any other test; here the policy itself is put to the test."""
    policy = page.tab.evaluate("fetch('/').then(answer => answer.headers.get('content-security-policy'))")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    violated = page.tab.evaluate(
        """() => new Promise(resolve => {
            addEventListener("securitypolicyviolation", event => resolve(event.effectiveDirective));
            document.body.append(Object.assign(document.createElement("script"), { textContent: "1" }));
        })"""
    )
    assert violated.startswith("script-src")
    page.problems.clear()


def test_the_page_weighs_little(page: Any, repo_root: Path, capsys: Any) -> None:
    """Every file of the page as it is sent, compressed; what opens first is lighter still. `-k weighs` says both."""
    folder = repo_root / "web"
    sizes = {path: (path.stat().st_size, len(gzip.compress(path.read_bytes()))) for path in folder.rglob("*.*")}
    opened = {request.url.partition("/static/")[2] or "index.html" for request in page.requests}
    first = {path: size for path, size in sizes.items() if path.relative_to(folder).as_posix() in opened}
    with capsys.disabled():
        for name, of in (("whole page", sizes), ("first view", first)):
            raw, sent = (sum(column) for column in zip(*of.values(), strict=True))
            print(f"\n{name}: {len(of)} files, {raw:,} bytes, {sent:,} as sent", end="")  # noqa: T201
    assert "js/main.js" in opened
    assert sum(sent for _, sent in sizes.values()) < MAX_PAGE_BYTES


def test_every_module_of_the_first_view_is_fetched_at_once(page: Any) -> None:
    """A chain of imports would take a round trip each."""
    announced = page.tab.evaluate(
        "[...document.querySelectorAll('link[rel=modulepreload]')].map(link => link.getAttribute('href'))"
    )
    loaded = {f"/static/js/{request.url.rpartition('/')[2]}" for request in page.requests if "/js/" in request.url}
    assert set(announced) == loaded - {"/static/js/main.js"}


def layout_shift(page: Any) -> float:
    """Add up what has moved so far; whatever is still to be painted is waited for."""
    return float(
        page.tab.evaluate(
            """() => new Promise(resolve => {
                let sum = 0;
                const observer = new PerformanceObserver(list => {
                    for (const entry of list.getEntries()) sum += entry.value;
                });
                observer.observe({ type: "layout-shift", buffered: true });
                requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => {
                    for (const entry of observer.takeRecords()) sum += entry.value;
                    resolve(sum);
                }, 100)));
            })"""
        )
    )


def test_nothing_jumps_while_the_page_loads(page: Any) -> None:
    page.wait_for("document.readyState === 'complete'")
    assert layout_shift(page) < 0.02
    page.tab.evaluate("header => header.style.paddingBlockEnd = '200px'", page.find("header").element_handle())
    assert layout_shift(page) > 0.1, "a jump would have been seen"


def test_nothing_hangs_over_the_edge(page: Any) -> None:
    page.draw("seven-plain")
    page.expect_digit("7")
    page.find("#correction-toggle").click()
    page.find("#debug-toggle").click()
    page.find("#mattered").wait_for()
    for width in (320, 375, 736, 1120, 2560):
        page.tab.set_viewport_size({"width": width, "height": 800})
        assert page.tab.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("size", [(844, 390), (667, 375)])
def test_all_of_the_canvas_can_be_seen_on_a_phone_on_its_side(
    open_page: Callable[..., Any], size: tuple[int, int]
) -> None:
    page = open_page(viewport={"width": size[0], "height": size[1]}, has_touch=True, is_mobile=True)
    for mode in ("digit", "number"):
        page.find(f"#mode-{mode}").click()
        assert page.find("#pad").bounding_box()["height"] <= size[1] - 32


def test_every_word_comes_from_one_place(repo_root: Path) -> None:
    """So that a translator has one file to translate; what remains is for browsers without scripts and searches."""
    html = (repo_root / "web/index.html").read_text(encoding="utf-8")
    body = html.partition("<body>")[2]
    words = re.sub(r"<noscript>.*?</noscript>|<[^>]*>", " ", body, flags=re.DOTALL).split()
    assert words == ["LiveDigit"]
    assert not re.search(r'\s(title|alt|placeholder|aria-label)="[^"]+"', body)


def test_labels_and_their_uses_match(page: Any) -> None:
    used = page.tab.evaluate(
        """async () => {
            const { labels } = await import("/static/js/strings.js");
            const used = [...document.querySelectorAll("[data-text], [data-label]")]
                .flatMap(element => [element.dataset.text, element.dataset.label]).filter(Boolean);
            const known = Object.keys(labels);
            return { missing: used.filter(key => !labels[key]), unused: known.filter(key => !used.includes(key)) };
        }"""
    )
    assert used == {"missing": [], "unused": []}


@pytest.mark.parametrize(
    "media",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"forced_colors": "active"}, {"reduced_motion": "reduce"}],
    ids=["light", "dark", "forced-colors", "reduced-motion"],
)
def test_the_digit_stands_out_in_every_scheme(open_page: Callable[..., Any], media: dict[str, str]) -> None:
    page = open_page(**media)
    page.draw("seven-plain")
    page.expect_digit("7")
    colours = page.tab.evaluate("[getComputedStyle(digit).color, getComputedStyle(answer).backgroundColor]")
    assert contrast(*colours) > 4.5


def test_nothing_moves_where_motion_is_unwelcome(open_page: Callable[..., Any]) -> None:
    page = open_page(reduced_motion="reduce")
    moving = page.tab.evaluate(
        """[...document.querySelectorAll("*")].map(element => getComputedStyle(element))
        .filter(style => style.animationName !== "none" || style.transitionDuration !== "0s").length"""
    )
    assert moving == 0


def test_the_readmes_screenshot_can_be_taken(
    open_page: Callable[..., Any], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """`pytest --screenshot=PATH` renews the picture in the README with a real answer."""
    page = open_page(viewport={"width": 1120, "height": 640}, reduced_motion="reduce")
    for count, name in enumerate(["four-open", "two-round", "eight-figure", "seven-crossed"], start=1):
        page.tab.keyboard.press("Escape")
        page.expect_blank()
        page.draw(name)
        page.expect_digit(page.drawings[name]["label"])
        page.wait_for(f"document.querySelectorAll('#history li').length === {count}")
    path = request.config.getoption("--screenshot", None) or tmp_path / "page.png"
    page.tab.screenshot(path=path, full_page=True)
    assert 0 < Path(path).stat().st_size < README_SCREENSHOT_BYTES


def contrast(first: str, second: str) -> float:
    """Contrast of two colours as WCAG 2.2 defines it, 1 to 21."""
    bright, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    red, green, blue = (int(level) / 255 for level in re.findall(r"\d+", colour)[:3])
    linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
