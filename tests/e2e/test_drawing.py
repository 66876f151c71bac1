"""From the pointer to the digit, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

PLAIN = ["zero-oval", "three-round", "five-two-strokes", "seven-plain"]


@pytest.mark.parametrize("name", PLAIN)
def test_a_digit_drawn_with_the_mouse_is_read(page: Any, name: str) -> None:
    page.draw(name)
    page.expect_digit(page.drawings[name]["label"])


def test_an_answer_comes_while_the_pen_is_still_down(page: Any) -> None:
    page.draw_stroke(page.drawings["seven-plain"]["strokes"][0], lift=False)
    page.expect_digit("7")
    page.tab.mouse.up()


def test_an_empty_canvas_stays_silent(page: Any) -> None:
    page.draw("seven-plain")
    page.expect_digit("7")
    asked = len(page.predictions())
    page.tab.keyboard.press("Escape")
    page.expect_blank()
    page.find("#debug-toggle").click()
    page.tab.reload()
    page.expect_connection("online")
    assert len(page.predictions()) == asked


@pytest.mark.parametrize("keys", ["Escape", "Alt+c"])
def test_a_key_clears_and_undo_brings_back(page: Any, keys: str) -> None:
    page.draw("seven-plain")
    page.expect_digit("7")
    page.tab.keyboard.press(keys)
    page.expect_blank()
    assert page.ink() == 0
    page.tab.keyboard.press("Control+z")
    page.expect_digit("7")
    assert page.ink() > 0


def test_buttons_do_what_keys_do(page: Any) -> None:
    page.draw("seven-crossed")
    page.expect_digit("7")
    crossed = page.ink()
    page.find("#undo").click()
    uncrossed = page.ink()
    assert uncrossed < crossed
    page.find("#redo").click()
    assert page.ink() == crossed
    page.find("#clear").click()
    page.expect_blank()
    assert page.find("#clear").is_disabled()


def test_redo_has_its_key_and_a_new_stroke_ends_it(page: Any) -> None:
    page.draw("five-two-strokes")
    whole = page.ink()
    page.tab.keyboard.press("Control+z")
    page.tab.keyboard.press("Control+Shift+z")
    assert page.ink() == whole
    page.tab.keyboard.press("Control+z")
    page.draw_stroke([[20, 20], [30, 30]])
    assert page.find("#redo").is_disabled()


def test_the_eraser_removes_what_it_touches_and_can_be_undone(page: Any) -> None:
    page.draw("seven-crossed")
    before = page.ink()
    page.find("#eraser").click()
    page.draw_stroke([[96, 150], [116, 146]])
    after = page.ink()
    assert 0 < after < before
    page.find("#undo").click()
    assert page.ink() == before


def test_a_dot_is_a_drawing(page: Any) -> None:
    """A press without a move leaves a point, which must not vanish or crash."""
    page.draw_stroke([[140, 140]])
    page.wait_for("digit.textContent !== ''")
    assert page.ink() > 0


def test_a_release_outside_the_paper_ends_the_stroke(page: Any) -> None:
    page.draw_stroke(page.drawings["seven-plain"]["strokes"][0], lift=False)
    page.tab.mouse.move(*page.position([125, 400]))
    page.tab.mouse.up()
    page.expect_digit("7")
    ink = page.ink()
    page.tab.mouse.move(*page.position([30, 200]))
    assert page.ink() == ink


@pytest.mark.parametrize("ending", ["pointercancel", "lostpointercapture", "blur"])
def test_a_stroke_whose_end_is_lost_is_kept(page: Any, ending: str) -> None:
    page.draw_stroke(page.drawings["seven-plain"]["strokes"][0], lift=False)
    ink = page.ink()
    page.tab.evaluate(
        """ending => ending === "blur" ? window.dispatchEvent(new Event("blur"))
        : document.getElementById("pad").dispatchEvent(new PointerEvent(ending, { pointerId: 1 }))""",
        ending,
    )
    page.tab.mouse.move(*page.position([20, 260]))
    assert page.ink() == ink
    page.tab.mouse.up()
    page.expect_digit("7")


def test_a_second_finger_does_not_disturb_the_first(page: Any) -> None:
    page.draw_stroke(page.drawings["seven-plain"]["strokes"][0], lift=False)
    ink = page.ink()
    dispatch_pointer(page, "pointerdown", [40, 240], pointerId=77, pointerType="touch")
    dispatch_pointer(page, "pointermove", [90, 240], pointerId=77, pointerType="touch")
    assert page.ink() == ink
    page.tab.mouse.up()
    page.expect_digit("7")


def test_a_touch_draws_and_does_not_scroll(open_page: Callable[..., Any]) -> None:
    page = open_page(viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    touch = page.tab.context.new_cdp_session(page.tab)
    points = page.positions(page.drawings["seven-plain"]["strokes"][0])
    send_touch(touch, "touchStart", points[0])
    for point in points[1:]:
        send_touch(touch, "touchMove", point)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.expect_digit("7")
    assert page.tab.evaluate("scrollY") == 0


def test_the_page_around_the_canvas_scrolls_under_the_finger(page: Any) -> None:
    styles = page.tab.evaluate(
        """() => [...document.querySelectorAll("*")]
        .filter(element => getComputedStyle(element).touchAction !== "auto").map(element => element.id)"""
    )
    assert styles == ["pad"]


def test_a_pen_keeps_the_palm_from_drawing(page: Any) -> None:
    dispatch_pointer(page, "pointerdown", [60, 60], pointerId=5, pointerType="pen")
    dispatch_pointer(page, "pointermove", [160, 60], pointerId=5, pointerType="pen")
    dispatch_pointer(page, "pointerup", [160, 60], pointerId=5, pointerType="pen")
    ink = page.ink()
    assert ink > 0
    dispatch_pointer(page, "pointerdown", [200, 220], pointerId=6, pointerType="touch")
    assert page.ink() == ink


def test_a_palm_that_came_first_is_dropped_when_the_pen_comes(page: Any) -> None:
    dispatch_pointer(page, "pointerdown", [200, 240], pointerId=6, pointerType="touch")
    assert page.ink() > 0
    dispatch_pointer(page, "pointerdown", [60, 60], pointerId=5, pointerType="pen")
    dispatch_pointer(page, "pointerup", [60, 60], pointerId=5, pointerType="pen")
    page.find("#undo").click()
    page.expect_blank()


def test_the_screen_is_sharp_and_the_picture_sent_is_the_same_on_every_screen(open_page: Callable[..., Any]) -> None:
    images = set()
    for ratio, scheme in ((1, "light"), (2, "dark"), (3, "light")):
        page = open_page(viewport={"width": 1120, "height": 900}, device_scale_factor=ratio, color_scheme=scheme)
        page.draw("seven-crossed")
        page.expect_digit("7")
        images.add(page.predictions()[-1].post_data_buffer)
        assert page.tab.evaluate("pad.width / pad.clientWidth") == ratio
    assert len(images) == 1


def test_the_width_of_the_pen_is_for_the_eye_alone(page: Any) -> None:
    page.draw("seven-crossed")
    page.expect_digit("7")
    sent, ink = page.predictions()[-1].post_data_buffer, page.ink()
    page.find("#pen-width").fill("10")
    assert page.ink() < 0.7 * ink
    page.find("#undo").click()
    page.find("#redo").click()
    page.expect_digit("7")
    assert page.predictions()[-1].post_data_buffer == sent


def test_the_drawing_survives_a_change_of_size(page: Any) -> None:
    page.draw("seven-plain")
    page.expect_digit("7")
    share = page.ink() / page.tab.evaluate("pad.width ** 2")
    page.tab.set_viewport_size({"width": 320, "height": 700})
    page.wait_for("pad.width === pad.clientWidth")
    assert page.ink() / page.tab.evaluate("pad.width ** 2") == pytest.approx(share, rel=0.05)


def dispatch_pointer(page: Any, kind: str, point: list[float], **details: Any) -> None:
    """Send a pointer event as the browser would for a pen or a finger."""
    x, y = page.position(point)
    page.tab.evaluate(
        """([kind, init]) => {
            const pad = document.getElementById("pad");
            pad.setPointerCapture = () => {};
            pad.dispatchEvent(new PointerEvent(kind, { bubbles: true, ...init }));
        }""",
        [kind, {"clientX": x, "clientY": y, "buttons": 0 if kind == "pointerup" else 1, **details}],
    )


def send_touch(session: Any, kind: str, point: tuple[float, float]) -> None:
    """Touch the screen through the debugging protocol."""
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": point[0], "y": point[1]}]})


def test_an_eraser_that_touches_nothing_changes_nothing(page: Any) -> None:
    page.draw("seven-plain")
    page.expect_digit("7")
    page.draw_stroke([[20, 20]])
    page.find("#undo").click()
    page.expect_digit("7")
    page.find("#eraser").click()
    page.draw_stroke([[260, 260]])
    expect(page.find("#redo")).to_be_enabled()
    page.find("#clear").click()
    page.expect_blank()
    page.find("#undo").click()
    page.expect_digit("7")


def test_a_key_that_comes_in_the_middle_of_a_stroke_loses_nothing(page: Any) -> None:
    first, second = page.drawings["seven-crossed"]["strokes"]
    page.draw_stroke(first)
    one = page.ink()
    page.draw_stroke(second, lift=False)
    both = page.ink()
    for key, ink in {"Control+z": one, "Control+Shift+z": both, "Escape": 0, "Control+y": 0}.items():
        page.tab.keyboard.press(key)
        assert page.ink() == ink, key
    page.tab.mouse.up()
    page.tab.keyboard.press("Control+z")
    assert page.ink() == both
    page.tab.keyboard.press("Control+z")
    page.draw_stroke([[20, 20], [30, 30]], lift=False)
    page.tab.keyboard.press("Control+Shift+z")
    assert page.ink() > one
    page.tab.mouse.up()
    page.tab.keyboard.press("Escape")
    page.draw_stroke(first, lift=False)
    page.tab.keyboard.press("Escape")
    page.tab.keyboard.press("Control+z")
    assert page.ink() == one


def test_redo_with_nothing_to_redo_asks_nothing(page: Any) -> None:
    page.draw("seven-plain")
    page.expect_digit("7")
    asked = len(page.predictions())
    page.tab.keyboard.press("Control+Shift+Z")
    page.tab.wait_for_timeout(200)
    assert len(page.predictions()) == asked
