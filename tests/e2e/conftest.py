"""The page in a real Chromium against a real server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.drawings import find_chromium

playwright_api = pytest.importorskip("playwright.sync_api")

# No graphics card, no sandbox inside containers that run as root, and no request of Chromium's own.
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
CANVAS_SIZE = 280


class PageUnderTest:
    """A browser tab with the page, and the hands of a user."""

    def __init__(self, tab: Any, drawings: dict[str, Any]) -> None:
        self.tab = tab
        self.drawings = drawings
        self.problems: list[str] = []
        self.requests: list[Any] = []
        self.questions: list[str] = []
        self.is_sure = True
        tab.on("dialog", self._answer)
        tab.on("console", self._note_console)
        tab.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        # Playwright cannot hold on to a built-in method itself.
        tab.on("request", lambda request: self.requests.append(request))

    def _answer(self, dialog: Any) -> None:
        self.questions.append(dialog.message)
        if self.is_sure:
            dialog.accept()
        else:
            dialog.dismiss()

    def _note_console(self, message: Any) -> None:
        # Tests break the connection and block the service worker on purpose; everything else, violations of the
        # policy included, is a defect.
        expected = ("Failed to load resource", "blocked by Playwright")
        if message.type in {"error", "warning"} and not any(words in message.text for words in expected):
            self.problems.append(f"console: {message.text}")

    def find(self, selector: str) -> Any:
        return self.tab.locator(selector)

    def draw(self, name: str) -> None:
        """Draw one of our own drawings with the mouse."""
        for stroke in self.drawings[name]["strokes"]:
            self.draw_stroke(stroke)

    def write_number(self, number: str, left: float = 40, advance: float = 110) -> None:
        """Write digits of our own side by side on the wide canvas, each smaller than on its own."""
        self.find("#mode-number").click()
        for place, label in enumerate(number):
            drawing = next(each for each in self.drawings.values() if each["label"] == label)
            for stroke in drawing["strokes"]:
                self.draw_stroke([[left + place * advance + 0.6 * x, 56 + 0.6 * y] for x, y in stroke])

    def draw_stroke(self, stroke: list[list[float]], lift: bool = True) -> None:
        """Press, move and, unless told otherwise, release."""
        first, *rest = self.positions(stroke)
        self.tab.mouse.move(*first)
        self.tab.mouse.down()
        for point in rest:
            self.tab.mouse.move(*point)
        if lift:
            self.tab.mouse.up()

    def position(self, point: list[float]) -> tuple[float, float]:
        """Where one point lies."""
        return self.positions([point])[0]

    def positions(self, points: list[list[float]]) -> list[tuple[float, float]]:
        """Where points of the canvas, which is 280 high, lie on the screen."""
        box = self.find("#pad").bounding_box()
        scale = box["height"] / CANVAS_SIZE
        return [(box["x"] + x * scale, box["y"] + y * scale) for x, y in points]

    def expect_digit(self, digit: str) -> None:
        """Wait for an answer that is no longer waited for: the one to the whole drawing, if the pen is up."""
        playwright_api.expect(self.find("#answer")).not_to_have_attribute("data-busy", "")
        playwright_api.expect(self.find("#digit")).to_have_text(digit)

    def expect_blank(self) -> None:
        playwright_api.expect(self.find("#answer")).to_have_attribute("data-state", "blank")

    def expect_notice(self, words: str) -> None:
        playwright_api.expect(self.find("#notice-text")).to_contain_text(words)

    def expect_connection(self, state: str) -> None:
        playwright_api.expect(self.find("#connection")).to_have_attribute("data-state", state)

    def ink(self) -> int:
        """Count the bright pixels on the screen's canvas."""
        return int(
            self.tab.evaluate(
                """() => new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(() => {
                    const { width, height } = pad;
                    const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
                    copy.drawImage(pad, 0, 0);
                    const { data } = copy.getImageData(0, 0, width, height);
                    resolve(data.filter((level, index) => index % 4 === 0 && level > 127).length);
                })))"""
            )
        )

    def pass_time(self, milliseconds: int) -> None:
        """Let time go on in a page whose clock stands still."""
        self.tab.clock.run_for(milliseconds)

    def hold(self, address: str) -> list[Any]:
        """Leave every further request for an address unanswered, in the list, until a test answers it."""
        held: list[Any] = []
        self.tab.route(address, lambda route: held.append(route))
        return held

    def hold_predictions(self) -> list[Any]:
        """Hold the requests for a digit."""
        return self.hold("**/predict")

    def cut_off(self, *addresses: str) -> None:
        """Refuse connections to addresses, as a server that is gone does."""
        for address in addresses:
            self.tab.route(address, lambda route: route.abort("connectionrefused"))

    def connect(self, *addresses: str) -> None:
        """Let them through again."""
        for address in addresses:
            self.tab.unroute(address)

    def stored(self, key: str) -> Any:
        """What the page keeps in the browser under a key."""
        return self.tab.evaluate("key => JSON.parse(localStorage[`livedigit.${key}`] ?? '[]')", key)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Let the browser work until a condition of this process holds."""
        for _ in range(500):
            if condition():
                return
            self.tab.wait_for_timeout(10)
        pytest.fail("the condition did not come true in time")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true in the page, whose policy forbids `wait_for_function` its eval."""
        self.wait_until(lambda: bool(self.tab.evaluate(expression)))

    def predictions(self) -> list[Any]:
        """List the requests that asked for a digit."""
        return [request for request in self.requests if request.url.partition("?")[0].endswith(("/predict", "/read"))]


def quick(stroke: list[list[float]]) -> list[list[float]]:
    """As a quick hand draws: every third point, and the end. The browser takes two frames for each."""
    return [*stroke[:-1:3], stroke[-1]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known when this folder is named on the command line; pytest loads it too late otherwise."""
    parser.addoption(
        "--screenshot", help="write the README's screenshot of the page to this file, and others beside it"
    )
    parser.addoption("--replay", type=int, default=10, help="recorded drawings to draw on the page (default: 10)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The installed Chromium, else Playwright's own; without any the tests are skipped, in CI they fail.

    One per module: Playwright's event loop runs as long as the browser does, and would be in the way of other tests'.
    """
    with playwright_api.sync_playwright() as playwright:
        try:
            running = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGUMENTS)
        except playwright_api.Error as error:
            reason = f"Chromium does not start: {error}"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Any, server: Any, drawings: list[dict[str, Any]]) -> Iterator[Callable[..., PageUnderTest]]:
    """Open the page in a context of its own; at the end nothing may have gone wrong behind the scenes."""
    opened: list[PageUnderTest] = []
    contexts: list[Any] = []
    by_name = {each["name"]: each | {"strokes": list(map(quick, each["strokes"]))} for each in drawings}

    def open_one(
        path: str = "/",
        prepare: Callable[[Any], None] = lambda tab: None,
        context: Any = None,
        **options: Any,
    ) -> PageUnderTest:
        if context is None:
            # A service worker would answer before the tests' own routes do.
            context = browser.new_context(**{"service_workers": "block", **options})
            contexts.append(context)
        tab = context.new_page()
        page = PageUnderTest(tab, by_name)
        opened.append(page)
        prepare(tab)
        tab.goto(path if path.startswith("http") else server.url + path)
        playwright_api.expect(page.find("#connection-text")).not_to_be_empty()
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert [problem for page in opened for problem in page.problems] == []


@pytest.fixture
def page(open_page: Callable[..., PageUnderTest]) -> PageUnderTest:
    """The page on a desktop screen, connected."""
    opened = open_page(viewport={"width": 1120, "height": 900})
    opened.expect_connection("online")
    return opened


@pytest.fixture
def still_page(open_page: Callable[..., PageUnderTest]) -> PageUnderTest:
    """The page, connected, with a clock that goes on only when told: no stroke takes long enough for a preview."""
    opened = open_page(prepare=lambda tab: tab.clock.install())
    opened.expect_connection("online")
    opened.tab.clock.pause_at(opened.tab.evaluate("Date.now() + 1000") / 1000)
    return opened
