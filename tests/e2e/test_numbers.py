"""Whole numbers: written on a wide canvas, read while one writes, put right digit by digit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

BOXES = [[50, 90, 70, 120], [160, 90, 70, 120]]
ANSWER = {
    "number": "17",
    "confidence": 0.55,
    "digits": [
        {"digit": digit, "confidence": 0.8, "box": box, "top_predictions": []}
        for digit, box in zip((1, 7), BOXES, strict=True)
    ],
    "alternatives": [{"number": "11", "confidence": 0.3}, {"number": "171", "confidence": 0.05}],
}


def answer_with(page: Any, answer: Any, status: int = 200) -> None:
    page.tab.route("**/read", lambda route: route.fulfill(status=status, body=json.dumps(answer)))


def write_two_strokes(page: Any) -> None:
    """Strokes where `ANSWER` has its digits."""
    page.find("#mode-number").click()
    for x in (85, 195):
        page.draw_stroke([[x, 100], [x, 200]])


@pytest.mark.parametrize("number", ["2026", "10", "444", "7", "007"])
def test_a_number_is_read_with_a_frame_around_each_digit(page: Any, number: str) -> None:
    page.write_number(number)
    page.expect_digit(number)
    assert page.find("#frames b").all_inner_texts() == list(number)
    assert page.find("#digits b").all_inner_texts() == list(number)
    written = [stroke for request in page.predictions()[-1:] for stroke in request.post_data_json["strokes"]]
    frames = [frame.bounding_box() for frame in page.find("#frames span").all()]
    for x, y in page.positions([point for stroke in written for point in stroke]):
        around = [box for box in frames if box["x"] < x < box["x"] + box["width"]]
        assert len(around) == 1
        assert around[0]["y"] < y < around[0]["y"] + around[0]["height"]


def test_digits_that_touch_are_told_apart(page: Any) -> None:
    page.write_number("88", left=200, advance=60)
    page.expect_digit("88")


def test_a_number_is_read_while_it_is_written(page: Any) -> None:
    page.write_number("1")
    page.draw_stroke([[160 + x / 2, 70 + y / 2] for x, y in page.drawings["seven-plain"]["strokes"][0]], lift=False)
    page.expect_digit("17")
    page.tab.mouse.up()


def test_strokes_are_sent_and_no_picture(page: Any) -> None:
    page.write_number("10")
    page.expect_digit("10")
    sent = page.predictions()[-1].post_data_json
    assert (sent["width"], sent["height"]) == (700, 280)
    assert "image" not in sent
    assert all(0 <= x <= 700 and 0 <= y <= 280 for stroke in sent["strokes"] for x, y in stroke)


@pytest.mark.parametrize("width", [320, 740, 1120])
def test_the_canvas_stays_where_it_is_while_one_writes(open_page: Callable[..., Any], width: int) -> None:
    """The number above it grows from nothing to doubts about twelve digits."""
    page = open_page(viewport={"width": width, "height": 900})
    long = {**ANSWER, "number": "1" * 12, "digits": [ANSWER["digits"][0]] * 12, "alternatives": []}
    long["alternatives"] = [{"number": "7" * 12, "confidence": 0.5}, {"number": "4" * 12, "confidence": 0.4}]
    page.find("#mode-number").click()
    before = page.find("#pad").bounding_box()
    for answer in (ANSWER, long):
        answer_with(page, answer)
        page.draw_stroke([[300, 100], [300, 200]])
        page.expect_digit(answer["number"])
        assert page.find("#pad").bounding_box() == before
    assert page.tab.evaluate("document.documentElement.scrollWidth") == width
    words = page.find("#words")
    if width == 740:
        assert words.evaluate("({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth")
    entry = page.find("#history button").first
    assert entry.evaluate("({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth")
    number, share = (entry.locator(part).bounding_box() for part in ("b", "small"))
    assert share["x"] > number["x"] + number["width"] or share["y"] > number["y"]


def test_a_digit_is_put_right_by_itself(page: Any) -> None:
    page.write_number("207")
    page.expect_digit("207")
    page.find("#digits button").nth(2).click()
    expect(page.find("#correction-which")).to_have_text("Digit 3 of 3.")
    page.find("#labels button").nth(1).click()
    expect(page.find("#correction-message")).to_have_text("Kept as a 1, in this browser.")
    page.expect_digit("201")
    (kept,) = page.stored("corrections")
    assert kept["label"] == "1"
    strokes = page.tab.evaluate(
        "async text => (await import('/static/js/strokes.js')).decodeStrokes(text)", kept["strokes"]
    )
    written = next(drawing for drawing in page.drawings.values() if drawing["label"] == "7")
    assert len(strokes) == len(written["strokes"])
    assert page.stored("history")[0]["number"] == "201"
    page.find("#digits button").nth(0).click()
    page.find("#labels button").nth(3).click()
    page.expect_digit("301")
    assert page.find("#digits small").all_inner_texts()[::2] == ["by you", "by you"]
    assert page.find("#frames b").all_inner_texts() == ["3", "0", "1"]
    assert len(page.stored("corrections")) == 2


def test_an_alternative_is_one_tap_away_and_puts_right_what_differs(page: Any) -> None:
    answer_with(page, ANSWER)
    write_two_strokes(page)
    page.expect_digit("17")
    assert page.find("#words").inner_text() == "Not sure: it could be 17 or 11."
    page.find("#alternatives button").first.click()
    page.expect_digit("11")
    page.wait_until(lambda: len(page.stored("corrections")) == 1)
    assert page.stored("corrections")[0]["label"] == "1"
    assert (page.stored("history")[0]["number"], page.stored("history")[0]["confidence"]) == ("11", None)
    assert page.find("#history button").first.inner_text().split() == ["11", "by", "you"]


def test_a_number_chosen_by_the_user_has_no_confidence_and_the_choice_can_be_taken_back(page: Any) -> None:
    answer_with(page, ANSWER)
    write_two_strokes(page)
    page.expect_digit("17")
    alternatives = page.find("#alternatives button")
    alternatives.filter(has_text="171").click()
    expect(page.find("#confidence")).to_have_text("by you")
    expect(page.find("#words")).to_have_text("Taken as 171.")
    assert page.tab.evaluate("document.getElementById('confidence-meter').value") == 0
    assert alternatives.locator("b").all_inner_texts() == ["11", "171", "17"]
    expect(alternatives.nth(1)).to_be_focused()
    alternatives.last.click()
    page.expect_digit("17")
    expect(page.find("#confidence")).to_have_text("55%")
    expect(alternatives.last).to_have_attribute("aria-pressed", "true")
    (entry,) = page.stored("history")
    assert (entry["number"], entry["confidence"]) == ("17", 0.55)


def test_corrections_of_a_digit_stay_with_it_when_another_is_written_before_it(open_page: Callable[..., Any]) -> None:
    page = open_page(viewport={"width": 1120, "height": 1600})
    answer_with(page, ANSWER)
    write_two_strokes(page)
    page.expect_digit("17")
    page.find("#digits button").first.click()
    page.find("#labels button").nth(4).click()
    expect(page.find("#correction-message")).to_contain_text("Kept as a 4")
    shifted = [{**digit, "box": box} for digit, box in zip(ANSWER["digits"], [[0, 90, 45, 120], BOXES[0]], strict=True)]
    answer_with(page, {**ANSWER, "number": "31", "digits": shifted})
    page.draw_stroke([[20, 100], [20, 200]])
    page.expect_digit("31")
    page.find("#digits button").first.click()
    page.find("#labels button").nth(5).click()
    expect(page.find("#corrections-count")).to_have_text("2 drawings put right so far.")


def test_an_alternative_of_another_length_says_nothing_about_single_digits(page: Any) -> None:
    answer_with(page, ANSWER)
    write_two_strokes(page)
    page.expect_digit("17")
    page.find("#alternatives button").nth(1).click()
    page.expect_digit("171")
    assert page.stored("corrections") == []
    expect(page.find("#frames span")).to_have_count(0)
    page.find("#correction-toggle").click()
    expect(page.find("#labels button").first).to_be_disabled()


def test_the_servers_reason_for_not_reading_is_shown(page: Any) -> None:
    page.find("#mode-number").click()
    for y in (20, 180):
        for x in (100, 200):
            page.draw_stroke([[x, y], [x, y + 80]])
    page.expect_notice("one line")


@pytest.mark.parametrize(
    "change",
    [
        {"number": "seventeen"},
        {"number": "1"},
        {"confidence": None},
        {"digits": [{"digit": 1, "confidence": 1, "box": [1, 2, 3]}] * 2},
        {"alternatives": None},
        {"alternatives": [{"number": 11, "confidence": None}]},
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error(page: Any, change: dict[str, Any]) -> None:
    answer_with(page, ANSWER | change)
    write_two_strokes(page)
    page.expect_notice("error (200)")


def test_history_and_links_carry_numbers(page: Any, open_page: Callable[..., Any], server: Any) -> None:
    page.tab.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.url)
    page.write_number("207")
    page.expect_digit("207")
    page.find("#share").click()
    expect(page.find("#share-message")).to_have_text("Link copied.")
    link = page.tab.evaluate("navigator.clipboard.readText()").removeprefix(server.url)
    assert link.startswith("/#n=")
    other = open_page(link)
    other.expect_digit("207")
    page.find("#mode-digit").click()
    page.expect_blank()
    page.find("#history button").first.click()
    page.expect_digit("207")
    sent = [each.predictions()[-1].post_data_json["strokes"] for each in (page, other)]
    assert sent[0] == sent[1]


def test_a_drawing_goes_with_the_mode_where_it_fits_and_undo_brings_it_back(page: Any) -> None:
    page.draw("seven-crossed")
    page.expect_digit("7")
    ink = page.ink()
    page.find("#mode-number").click()
    page.expect_digit("7")
    page.find("#mode-digit").click()
    page.expect_digit("7")
    page.wait_until(lambda: page.ink() == ink)
    page.write_number("10", left=300)
    page.expect_digit("710")
    page.find("#mode-digit").click()
    page.expect_blank()
    page.tab.keyboard.press("Control+z")
    page.expect_digit("710")
    expect(page.find("#mode-number")).to_have_attribute("aria-pressed", "true")


def test_choosing_the_mode_that_is_on_changes_nothing(page: Any) -> None:
    page.draw("seven-crossed")
    page.expect_digit("7")
    page.tab.keyboard.press("Control+z")
    page.find("#mode-digit").click()
    expect(page.find("#redo")).to_be_enabled()


def test_one_digit_is_read_as_before_after_a_number(page: Any) -> None:
    page.write_number("10", left=300)
    page.expect_digit("10")
    page.find("#mode-digit").click()
    page.draw("seven-crossed")
    page.expect_digit("7")
    assert page.predictions()[-1].url.endswith("/predict")
    expect(page.find("#candidates")).to_be_visible()
    expect(page.find("#digits")).to_be_hidden()


def test_the_keyboards_pen_reaches_the_whole_canvas(page: Any) -> None:
    page.find("#mode-number").click()
    page.find("#pad").focus()
    page.tab.keyboard.press("Space")
    for _ in range(60):
        page.tab.keyboard.press("ArrowRight")
    page.tab.keyboard.press("Space")
    reached = lambda: [each.post_data_json["strokes"][0][-1] for each in page.predictions()]  # noqa: E731
    page.wait_until(lambda: [700, 140] in reached())


def test_a_sample_number_is_drawn_and_read(page: Any) -> None:
    page.find("#mode-number").click()
    page.find("#sample").click()
    page.wait_for("digit.textContent.length === 4")
    assert page.find("#frames span").count() == 4


def test_the_code_for_numbers_comes_when_it_is_needed(page: Any) -> None:
    is_asked_for = lambda: any(request.url.endswith("/numbers.js") for request in page.requests)  # noqa: E731
    page.draw("seven-plain")
    page.expect_digit("7")
    assert not is_asked_for()
    page.write_number("1", left=400)
    page.expect_digit("71")
    assert is_asked_for()


def test_the_readmes_screenshot_of_a_number_can_be_taken(
    open_page: Callable[..., Any], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Beside the picture that `pytest --screenshot=PATH` renews."""
    page = open_page(viewport={"width": 1120, "height": 640}, reduced_motion="reduce")
    page.write_number("2026", left=110, advance=130)
    page.expect_digit("2026")
    page.find("#pad").blur()
    beside = Path(request.config.getoption("--screenshot", None) or tmp_path / "page.png")
    path = beside.with_stem(f"{beside.stem}-number")
    page.tab.screenshot(path=path)
    assert 0 < path.stat().st_size < 120_000


def test_digits_of_a_number_that_has_become_longer_cannot_be_put_right(page: Any) -> None:
    answer_with(page, ANSWER)
    write_two_strokes(page)
    page.expect_digit("17")
    page.find("#digits button").last.click()
    expect(page.find("#labels button").first).to_be_enabled()
    page.find("#alternatives button").filter(has_text="171").click()
    expect(page.find("#labels button").first).to_be_disabled()
    expect(page.find("#correction-which")).to_have_text("")


def test_both_digits_of_an_alternative_are_said_to_be_kept(page: Any) -> None:
    answer_with(page, {**ANSWER, "alternatives": [{"number": "46", "confidence": 0.3}]})
    write_two_strokes(page)
    page.expect_digit("17")
    page.find("#alternatives button").click()
    expect(page.find("#announcer")).to_have_text("Taken as 46. Kept as 4 and 6, in this browser.")
    assert [each["label"] for each in page.stored("corrections")] == ["4", "6"]


def test_a_digit_is_put_right_no_more_once_its_number_is_gone(page: Any) -> None:
    answer_with(page, ANSWER)
    write_two_strokes(page)
    page.expect_digit("17")
    held = page.hold("**/correcting.js")
    page.find("#digits button").last.click()
    page.tab.keyboard.press("Escape")
    page.expect_blank()
    for route in held:
        route.continue_()
    expect(page.find("#correction")).to_be_visible()
    expect(page.find("#labels button").first).to_be_disabled()
