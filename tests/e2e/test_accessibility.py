"""WCAG 2.2 AA, as far as axe-core can tell, in every state; and the keyboard."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

OPTIONS = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    },
    "rules": {"target-size": {"enabled": True}},
    "resultTypes": ["violations"],
}
OF_COLOURS = {**OPTIONS, "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
"""What can differ between a light page and a dark one."""
UNSURE = {
    "digit": 4,
    "confidence": 0.4,
    "top_predictions": [{"digit": digit, "confidence": 0.4 - digit / 100} for digit in (4, 9, 7, 1, 0)],
    "cropped_image": None,
    "final_image": None,
}


def leave_empty(page: Any) -> None:
    page.expect_connection("online")


def get_answer(page: Any) -> None:
    page.draw("seven-crossed")
    page.expect_digit("7")
    page.wait_for("document.querySelectorAll('#history li').length === 1")


def get_unsure_answer(page: Any) -> None:
    page.tab.route("**/predict", lambda route: route.fulfill(json=UNSURE))
    page.draw_stroke([[140, 140]])
    page.expect_digit("4")


def get_error(page: Any) -> None:
    page.tab.route("**/predict", lambda route: route.fulfill(status=500, json={"detail": "internal error"}))
    page.draw_stroke([[140, 140]])
    page.expect_notice("Internal error")


def go_offline(page: Any) -> None:
    page.tab.context.set_offline(True)
    page.expect_connection("offline")
    page.draw_stroke([[140, 140]])
    page.expect_notice("kept")


def open_debug(page: Any) -> None:
    get_answer(page)
    page.find("#debug-toggle").click()
    expect(page.find("#mattered")).to_be_visible()


def correct(page: Any) -> None:
    get_answer(page)
    page.find("#correction-toggle").click()
    page.find("#labels button").nth(7).click()
    expect(page.find("#correction-message")).not_to_be_empty()


def open_picture(page: Any) -> None:
    image = Image.new("L", (280, 280), 240)
    ImageDraw.Draw(image).line([(80, 64), (198, 60), (128, 228)], fill=30, width=14, joint="curve")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    picture = {"name": "seven.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    page.find("#picture-file").set_input_files(picture)
    page.expect_digit("7")
    expect(page.find("#cleaning")).to_be_visible()


def write_number(page: Any) -> None:
    page.write_number("2026")
    page.expect_digit("2026")


def doubt_number(page: Any) -> None:
    digits = [{"digit": digit, "confidence": 0.6, "box": [140, 130, 20, 20], "top_predictions": []} for digit in (1, 7)]
    alternatives = [{"number": "11", "confidence": 0.3}, {"number": "117", "confidence": 0.1}]
    answer = {"number": "17", "confidence": 0.5, "digits": digits, "alternatives": alternatives}
    page.tab.route("**/read", lambda route: route.fulfill(json=answer))
    page.find("#mode-number").click()
    page.draw_stroke([[140, 140]])
    page.expect_digit("17")


def correct_number(page: Any) -> None:
    page.tab.route("**/feedback", lambda route: route.fulfill(json={"wanted": True}))
    write_number(page)
    page.find("#digits button").nth(1).click()
    expect(page.find("#consent-option")).to_be_visible()


def be_asked_for_a_key(page: Any) -> None:
    page.tab.route("**/predict", lambda route: route.fulfill(status=401, json={"detail": "an API key is needed"}))
    page.draw_stroke([[140, 140]])
    expect(page.find("#key-form")).to_be_visible()


STATES = [
    leave_empty,
    get_answer,
    get_unsure_answer,
    get_error,
    go_offline,
    open_debug,
    correct,
    open_picture,
    write_number,
    doubt_number,
    correct_number,
    be_asked_for_a_key,
]


@pytest.fixture(scope="module")
def axe() -> Any:
    """The checker with its copy of axe-core."""
    return pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python"
    ).Axe()


@pytest.mark.parametrize("reach", STATES, ids=lambda reach: reach.__name__)
def test_axe_finds_nothing(open_page: Callable[..., Any], axe: Any, reach: Callable[[Any], None]) -> None:
    page = open_page(reduced_motion="reduce")
    reach(page)
    for width in (320, 1120):
        page.tab.set_viewport_size({"width": width, "height": 900})
        for scheme, options in (("light", OPTIONS), ("dark", OF_COLOURS)):
            page.tab.emulate_media(color_scheme=scheme)
            violations = axe.run(page.tab, options=options).response["violations"]
            found = [(each["id"], [node["html"] for node in each["nodes"]]) for each in violations]
            assert found == [], f"{scheme}, {width} px"


def test_everything_is_reached_by_tab_in_the_order_of_the_page(page: Any) -> None:
    for key in ("Tab", "Tab", "Tab", "Space", "ArrowDown", "Space"):
        page.tab.keyboard.press(key)
    page.wait_for("digit.textContent !== ''")
    order = [page.tab.evaluate("document.activeElement.id")]
    for _ in range(9):
        page.tab.keyboard.press("Tab")
        order.append(page.tab.evaluate("document.activeElement.id"))
    assert order == [
        "pad", "undo", "eraser", "clear", "sample", "open-picture", "share", "pen-width", "debug-toggle",
        "correction-toggle",
    ]  # fmt: skip


def test_the_focus_can_be_seen(page: Any) -> None:
    page.tab.keyboard.press("Tab")
    page.tab.keyboard.press("Tab")
    outline = page.tab.evaluate(
        "(style => [style.outlineStyle, style.outlineWidth])(getComputedStyle(document.activeElement))"
    )
    assert outline == ["solid", "3px"]


def test_targets_are_large_enough_for_a_finger(open_page: Callable[..., Any]) -> None:
    page = open_page(viewport={"width": 320, "height": 800}, has_touch=True, is_mobile=True)
    page.find("#correction-toggle").click()
    page.write_number("10")
    page.expect_digit("10")
    heights = page.tab.evaluate(
        """[...document.querySelectorAll("button")].filter(each => each.offsetParent)
        .map(each => Math.min(each.offsetWidth, each.offsetHeight))"""
    )
    assert min(heights) >= 44


def test_text_can_be_twice_as_large(open_page: Callable[..., Any]) -> None:
    page = open_page(viewport={"width": 640, "height": 800})
    page.tab.evaluate("document.documentElement.style.fontSize = '200%'")
    assert page.tab.evaluate("document.documentElement.scrollWidth") == 640


def press(page: Any, selector: str) -> None:
    """Activate a button by keyboard alone."""
    page.find("#pad").focus()
    page.tab.keyboard.press("Tab")
    page.find(selector).focus()
    page.tab.keyboard.press("Enter")


def test_the_focus_stays_in_the_history_that_is_cleared(page: Any) -> None:
    get_answer(page)
    press(page, "#clear-history")
    expect(page.find("#history-empty")).to_be_focused()


def test_the_focus_goes_to_the_canvas_once_another_try_has_helped(page: Any) -> None:
    get_error(page)
    press(page, "#try-again")
    expect(page.find("#answer")).not_to_have_attribute("data-busy", "")
    expect(page.find("#try-again")).to_be_focused()
    page.tab.unroute("**/predict")
    page.tab.keyboard.press("Enter")
    expect(page.find("#pad")).to_be_focused()


def test_the_focus_goes_to_the_canvas_once_the_key_is_right_and_stays_while_it_is_wrong(page: Any) -> None:
    be_asked_for_a_key(page)
    page.find("#key").fill("wrong")
    with page.tab.expect_response("**/predict"):
        page.tab.keyboard.press("Enter")
    expect(page.find("#key")).to_be_focused()
    page.tab.unroute("**/predict")
    page.find("#key").fill("right")
    page.tab.keyboard.press("Enter")
    expect(page.find("#pad")).to_be_focused()


@pytest.mark.parametrize(("reach", "next_to"), [(get_error, "#key"), (be_asked_for_a_key, "#try-again")])
def test_the_focus_goes_to_what_another_error_offers(page: Any, reach: Callable[[Any], None], next_to: str) -> None:
    reach(page)
    page.tab.unroute("**/predict")
    status = 401 if next_to == "#key" else 500
    page.tab.route("**/predict", lambda route: route.fulfill(status=status, json={"detail": "no"}))
    if reach is get_error:
        press(page, "#try-again")
    else:
        page.find("#key").fill("right")
        page.tab.keyboard.press("Enter")
    expect(page.find(next_to)).to_be_focused()


def test_the_focus_goes_to_a_neighbour_once_all_corrections_are_deleted(page: Any) -> None:
    correct(page)
    press(page, "#delete-corrections")
    expect(page.find("#load-corrections")).to_be_focused()


@pytest.mark.parametrize(
    ("reach", "focused"),
    [(correct, "#labels button >> nth=7"), (open_debug, "#rival"), (write_number, "#digits button >> nth=1")],
)
def test_the_focus_goes_to_the_canvas_where_a_key_takes_away_what_it_was_on(
    page: Any, reach: Callable[[Any], None], focused: str
) -> None:
    reach(page)
    page.tab.keyboard.press("Tab")
    page.find(focused).focus()
    page.tab.keyboard.press("Escape")
    expect(page.find("#pad")).to_be_focused()


def test_the_focus_goes_to_the_canvas_where_its_button_has_nothing_more_to_do(page: Any) -> None:
    page.draw("seven-plain")
    page.expect_digit("7")
    page.find("#pad").focus()
    for button in ("#undo", "#redo", "#clear"):
        page.find(button).focus()
        page.tab.keyboard.press("Enter")
        expect(page.find("#pad")).to_be_focused()
