"""What the page says when the server is quick, slow, wrong, busy or gone."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.browser

ANSWER = {
    "digit": 4,
    "confidence": 0.48,
    "top_predictions": [
        {"digit": 4, "confidence": 0.48},
        {"digit": 9, "confidence": 0.41},
        {"digit": 7, "confidence": 0.05},
        {"digit": 1, "confidence": 0.03},
        {"digit": 0, "confidence": 0.02},
    ],
    "cropped_image": None,
    "final_image": None,
}


def problem(status: int, detail: str, **headers: str) -> dict[str, Any]:
    """Make a server's error as the API words it."""
    body = {"type": "about:blank", "title": "Error", "status": status, "detail": detail}
    return {
        "status": status,
        "body": json.dumps(body),
        "headers": {"Content-Type": "application/problem+json", **headers},
    }


def test_the_five_best_are_shown_as_the_server_gave_them(page: Any) -> None:
    page.tab.route("**/predict", lambda route: route.fulfill(json=ANSWER))
    page.draw_stroke([[140, 140]])
    page.expect_digit("4")
    meters = page.tab.evaluate("[...document.querySelectorAll('#candidates meter')].map(meter => meter.value)")
    assert meters == [candidate["confidence"] for candidate in ANSWER["top_predictions"]]
    assert page.tab.evaluate("document.getElementById('confidence-meter').value") == ANSWER["confidence"]
    assert page.find("#confidence").inner_text() == "48%"


def test_doubt_is_said_in_words(page: Any) -> None:
    page.tab.route("**/predict", lambda route: route.fulfill(json=ANSWER))
    page.draw("four-closed")
    page.expect_digit("4")
    assert page.find("#words").inner_text() == "Not sure: it could be 4 or 9."
    assert page.find("#answer").get_attribute("data-state") == "unsure"


def test_the_server_has_the_last_word_on_doubt(page: Any) -> None:
    answer = ANSWER | {"confidence": 0.99, "uncertain": True}
    page.tab.route("**/predict", lambda route: route.fulfill(json=answer))
    page.draw("four-closed")
    page.expect_digit("4")
    assert page.find("#answer").get_attribute("data-state") == "unsure"


def test_a_settled_answer_is_announced_once_and_a_passing_one_never(page: Any) -> None:
    page.tab.evaluate(
        """() => {
            window.announced = [];
            new MutationObserver(() => announced.push(announcer.textContent))
                .observe(announcer, { childList: true });
        }"""
    )
    page.draw("seven-crossed")
    page.wait_for("announced.length > 0")
    page.expect_digit("7")
    announced = page.tab.evaluate("announced")
    assert len(announced) == 1
    assert announced[0].startswith("7, ")


def test_what_the_model_saw_is_shown_on_demand(page: Any) -> None:
    page.draw("seven-crossed")
    page.expect_digit("7")
    assert "debug" not in page.predictions()[-1].url
    page.tab.keyboard.press("Alt+d")
    page.wait_for("document.getElementById('final-image').naturalWidth === 28")
    assert page.tab.evaluate("document.getElementById('cropped-image').naturalHeight") > 100
    assert page.find("#debug-toggle").get_attribute("aria-expanded") == "true"
    assert "digits, version" in page.find("#model").inner_text()
    page.wait_for("latency.textContent.includes(' ms ')")
    page.find("#debug-toggle").click()
    assert page.find("#debug").is_hidden()


def test_offline_turns_the_dot_red_and_the_page_recovers(page: Any) -> None:
    page.draw_stroke(page.drawings["seven-crossed"]["strokes"][0])
    page.expect_digit("7")
    page.tab.context.set_offline(True)
    page.expect_connection("offline")
    page.wait_for("getComputedStyle(connection, '::before').backgroundColor === 'rgb(179, 38, 30)'")
    page.draw_stroke(page.drawings["seven-crossed"]["strokes"][1])
    page.expect_notice("Your drawing is kept")
    page.tab.context.set_offline(False)
    page.expect_connection("online")
    page.expect_digit("7")
    page.find("#notice").wait_for(state="hidden")


@pytest.mark.parametrize("name", ["seven-plain", "number"])
def test_an_unread_drawing_outlives_a_reload_and_is_read_when_the_server_is_back(page: Any, name: str) -> None:
    page.cut_off("**/predict", "**/read", "**/health")
    if name == "number":
        page.write_number("7")
    else:
        page.draw(name)
    page.expect_notice("Your drawing is kept")
    page.tab.reload()
    page.expect_notice("Your drawing is kept")
    page.connect("**/predict", "**/read", "**/health")
    page.expect_digit("7")
    page.tab.reload()
    page.expect_blank()


def test_a_damaged_unread_drawing_is_ignored(page: Any) -> None:
    for kept in ("nonsense", "{}", '{"id": "a", "strokes": "~"}', "[]", "1"):
        page.tab.add_init_script(f"sessionStorage['livedigit.unread'] = {kept!r}")
        page.tab.reload()
        page.expect_blank()


def test_a_server_that_is_gone_is_noticed_and_welcomed_back(page: Any) -> None:
    page.cut_off("**/predict", "**/health")
    page.draw("seven-plain")
    page.expect_connection("unreachable")
    page.expect_notice("cannot be reached")
    page.connect("**/predict", "**/health")
    page.expect_digit("7")
    page.expect_connection("online")


def test_a_part_of_the_page_that_cannot_be_fetched_is_reported_and_comes_later(page: Any) -> None:
    page.cut_off("**/correcting.js")
    page.find("#correction-toggle").click()
    page.expect_notice("part of the page cannot be fetched")
    page.connect("**/correcting.js")
    page.expect_connection("online")
    page.find("#correction-toggle").click()
    page.find("#correction").wait_for()


def need(page: Any, module: str) -> None:
    """Do what a part of the page is needed for."""
    if module == "picture":
        page.find("#picture-file").set_input_files({"name": "seven.png", "mimeType": "image/png", "buffer": b"png"})
    else:
        page.find({"samples": "#sample", "correcting": "#correction-toggle"}[module]).click()


@pytest.mark.parametrize("module", ["samples", "picture"])
def test_nothing_waits_for_a_part_of_the_page_that_cannot_be_fetched(page: Any, module: str) -> None:
    page.cut_off(f"**/{module}.js")
    need(page, module)
    page.expect_notice("part of the page cannot be fetched")
    assert page.find("#answer").get_attribute("data-busy") is None


@pytest.mark.parametrize(
    ("module", "sign"),
    [("samples", "#share:enabled"), ("picture", "text=not a picture"), ("correcting", "#correction")],
)
def test_a_part_of_the_page_that_does_not_come_is_given_up_and_asked_for_anew(
    still_page: Any, module: str, sign: str
) -> None:
    """The browser itself would wait for minutes, and a second import with it."""
    held = still_page.hold(f"**/{module}.js")
    need(still_page, module)
    still_page.wait_until(lambda: len(held) == 1)
    still_page.pass_time(5000)
    still_page.expect_notice("takes too long to come")
    assert still_page.find("#answer").get_attribute("data-busy") is None
    need(still_page, module)
    still_page.find(sign).wait_for()


def test_code_for_numbers_that_does_not_come_is_asked_for_again_when_the_user_says_so(still_page: Any) -> None:
    still_page.hold("**/numbers.js")
    still_page.write_number("1")
    still_page.wait_for("answer.hasAttribute('data-busy')")
    still_page.pass_time(5000)
    still_page.expect_notice("takes too long to answer. Your drawing is kept.")
    assert still_page.find("#answer").get_attribute("data-busy") is None
    still_page.find("#try-again").click()
    still_page.expect_digit("1")


def test_code_that_is_slower_than_the_user_waits_counts_when_it_comes(still_page: Any) -> None:
    held = still_page.hold("**/numbers.js*")
    still_page.write_number("1")
    still_page.wait_for("answer.hasAttribute('data-busy')")
    still_page.pass_time(5000)
    still_page.expect_notice("takes too long")
    still_page.find("#try-again").click()
    still_page.wait_until(lambda: len(held) == 2)
    held[0].continue_()
    still_page.expect_digit("1")


def test_without_the_code_for_numbers_the_server_counts_as_gone(page: Any) -> None:
    page.cut_off("**/numbers.js", "**/health")
    page.write_number("1")
    page.expect_notice("cannot be reached")
    page.expect_connection("unreachable")
    page.connect("**/numbers.js", "**/health")
    page.expect_digit("1")


def test_a_slow_server_is_asked_three_times_and_then_reported(still_page: Any) -> None:
    asked = still_page.hold_predictions()
    still_page.draw_stroke([[140, 140]])
    for attempt in range(1, 4):
        still_page.wait_until(lambda attempt=attempt: len(asked) == attempt)
        still_page.pass_time(5000)
    still_page.expect_notice("takes too long")
    assert len(asked) == 3
    still_page.tab.unroute("**/predict")
    still_page.find("#try-again").click()
    still_page.wait_for("digit.textContent !== ''")


def test_a_newer_drawing_cancels_the_request_for_the_older(still_page: Any) -> None:
    """The first answer comes after the second and must not be shown."""
    held = still_page.hold_predictions()
    still_page.draw_stroke([[140, 140]])
    still_page.wait_until(lambda: len(held) == 1)
    still_page.draw_stroke([[180, 140]])
    still_page.wait_until(lambda: len(held) == 2)
    held[1].fulfill(json=ANSWER)
    still_page.expect_digit("4")
    first, second = still_page.predictions()
    assert first.failure == "net::ERR_ABORTED"
    assert second.failure is None


def test_clearing_drops_the_answer_under_way(still_page: Any) -> None:
    held = still_page.hold_predictions()
    still_page.draw_stroke([[140, 140]])
    still_page.wait_until(lambda: len(held) == 1)
    still_page.tab.keyboard.press("Escape")
    still_page.expect_blank()
    still_page.wait_until(lambda: still_page.predictions()[0].failure == "net::ERR_ABORTED")


def test_at_most_one_request_is_in_flight_while_drawing(still_page: Any) -> None:
    held = still_page.hold_predictions()
    still_page.draw_stroke([[80, 64], [120, 62]], lift=False)
    still_page.pass_time(100)
    still_page.wait_until(lambda: len(held) == 1)
    still_page.tab.mouse.move(*still_page.position([198, 60]))
    still_page.pass_time(1000)
    still_page.tab.mouse.move(*still_page.position([128, 228]))
    still_page.pass_time(1000)
    assert len(still_page.predictions()) == 1
    still_page.tab.mouse.up()
    still_page.wait_until(lambda: len(held) == 2)


@pytest.mark.parametrize(
    ("status", "detail", "shown"),
    [
        (400, "the image holds no ink: draw light strokes", "The image holds no ink: draw light strokes."),
        (413, "", "The server answered with an error (413)."),
        (422, "expected `object`", "Expected `object`."),
        (500, "internal error", "Internal error."),
    ],
)
def test_the_servers_own_words_are_shown(page: Any, status: int, detail: str, shown: str) -> None:
    page.tab.route("**/predict", lambda route: route.fulfill(**problem(status, detail)))
    page.draw_stroke([[140, 140]])
    page.expect_notice(shown)


@pytest.mark.parametrize(
    "body", ["", '{"digit": 4, "top_predictions": [1]}', "<html>", '{"digit": 4', "[]", '{"digit": 4}', "null"]
)
def test_an_answer_that_makes_no_sense_is_an_error(page: Any, body: str) -> None:
    page.tab.route("**/predict", lambda route: route.fulfill(status=200, body=body))
    page.draw_stroke([[140, 140]])
    page.expect_notice("error (200)")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_left_in_peace_for_as_long_as_it_asks(still_page: Any, status: int) -> None:
    busy = problem(status, "too many requests", **{"Retry-After": "7"})
    still_page.tab.route("**/predict", lambda route: route.fulfill(**busy))
    still_page.draw_stroke([[140, 140]])
    still_page.expect_notice("Too many requests. Trying again in 7 s.")
    asked = len(still_page.predictions())
    still_page.pass_time(3000)
    still_page.draw("seven-plain")
    still_page.expect_notice("Too many requests. Trying again in 4 s.")
    still_page.tab.keyboard.press("Escape")
    still_page.find("#notice").wait_for(state="hidden")
    still_page.draw("seven-plain")
    still_page.expect_notice("Too many requests. Trying again in 4 s.")
    still_page.pass_time(3000)
    assert len(still_page.predictions()) == asked
    still_page.tab.unroute("**/predict")
    still_page.pass_time(2000)
    still_page.wait_for("digit.textContent !== ''")


def test_no_answer_to_an_older_drawing_is_shown_while_a_busy_server_is_left_in_peace(still_page: Any) -> None:
    first, second = still_page.drawings["seven-crossed"]["strokes"]
    still_page.draw_stroke(first)
    still_page.expect_digit("7")
    busy = problem(429, "too many requests", **{"Retry-After": "7"})
    still_page.tab.route("**/predict", lambda route: route.fulfill(**busy))
    still_page.draw_stroke(second, lift=False)
    still_page.pass_time(100)
    still_page.expect_notice("Trying again in 7 s.")
    still_page.tab.mouse.up()
    still_page.expect_digit("")
    still_page.expect_notice("Trying again in 7 s.")


def test_an_answer_to_an_older_drawing_does_not_stand_beside_an_error(page: Any) -> None:
    page.draw_stroke(page.drawings["seven-crossed"]["strokes"][0])
    page.expect_digit("7")
    page.tab.route("**/predict", lambda route: route.fulfill(**problem(500, "internal error")))
    page.draw_stroke(page.drawings["seven-crossed"]["strokes"][1])
    page.expect_notice("Internal error.")
    page.expect_digit("")
    page.expect_connection("trouble")


def test_a_server_in_trouble_is_not_asked_again_and_again(still_page: Any) -> None:
    still_page.tab.route("**/predict", lambda route: route.fulfill(**problem(500, "internal error")))
    still_page.draw_stroke([[140, 140]])
    still_page.expect_notice("Internal error.")
    still_page.pass_time(60_000)
    assert len(still_page.predictions()) == 1
    still_page.tab.unroute("**/predict")
    still_page.find("#try-again").click()
    still_page.expect_connection("online")


def test_a_server_without_a_model_says_so(page: Any) -> None:
    page.tab.route(
        "**/predict", lambda route: route.fulfill(**problem(503, "no model is loaded", **{"Retry-After": "30"}))
    )
    page.tab.route("**/health", lambda route: route.fulfill(status=503, json={"status": "no model"}))
    page.draw_stroke([[140, 140]])
    page.expect_notice("No model is loaded. Trying again in 30 s.")


def test_a_drawing_is_read_when_the_model_is_back_later_than_the_server(page: Any) -> None:
    page.cut_off("**/predict", "**/health")
    page.draw("seven-plain")
    page.expect_connection("unreachable")
    page.tab.unroute("**/health")
    page.tab.route("**/health", lambda route: route.fulfill(status=503, json={"status": "no model"}))
    page.expect_connection("no-model")
    page.tab.unroute("**/health")
    page.connect("**/predict")
    page.expect_digit("7")
