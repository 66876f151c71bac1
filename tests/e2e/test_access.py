"""A server that answers only those who have a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def guarded(start_shared_server: Callable[..., Any]) -> Any:
    return start_shared_server("--api-keys", "open-sesame")


def give_key(page: Any, key: str) -> None:
    expect(page.find("#key-form")).to_be_visible()
    page.find("#key").fill(key)
    page.tab.keyboard.press("Enter")


def test_the_page_asks_for_the_key_and_reads_what_was_drawn_before(open_page: Callable[..., Any], guarded: Any) -> None:
    page = open_page(guarded.url)
    page.draw("seven-crossed")
    page.expect_notice("answers only those who have a key")
    give_key(page, "wrong")
    page.wait_until(lambda: page.predictions()[-1].headers.get("authorization") == "Bearer wrong")
    page.expect_notice("answers only those who have a key")
    give_key(page, "open-sesame")
    page.expect_digit("7")
    expect(page.find("#key-form")).to_be_hidden()
    page.find("#debug-toggle").click()
    expect(page.find("#mattered")).to_be_visible()
    expect(page.find("#model")).to_contain_text("agrees with TensorFlow")


def test_a_key_that_no_header_can_hold_is_a_wrong_key(open_page: Callable[..., Any], guarded: Any) -> None:
    page = open_page(guarded.url)
    page.draw("seven-crossed")
    with page.tab.expect_response("**/predict"):
        give_key(page, "open-sesame\u200b")
    page.expect_notice("answers only those who have a key")
    page.expect_connection("online")
    give_key(page, "open-sesame")
    page.expect_digit("7")


def test_the_key_stays_in_its_tab(open_page: Callable[..., Any], guarded: Any) -> None:
    page = open_page(guarded.url)
    page.draw("seven-crossed")
    give_key(page, "open-sesame")
    page.expect_digit("7")
    page.tab.reload()
    page.draw("seven-crossed")
    page.expect_digit("7")
    assert page.tab.evaluate("Object.values(localStorage).join()").count("open-sesame") == 0
    other = open_page(guarded.url, context=page.tab.context)
    other.draw("seven-crossed")
    expect(other.find("#key-form")).to_be_visible()


def test_what_is_being_typed_survives_another_refusal(open_page: Callable[..., Any], guarded: Any) -> None:
    page = open_page(guarded.url)
    page.draw_stroke([[140, 60], [140, 140]])
    expect(page.find("#key-form")).to_be_visible()
    page.find("#key").fill("open-")
    with page.tab.expect_response("**/predict"):
        page.draw_stroke([[140, 130], [140, 220]])
    page.tab.keyboard.type("sesamx")
    for key in ("Backspace", "e", "Control+z", "Control+Shift+z", "Enter"):
        page.tab.keyboard.press(key)
    page.expect_digit("1")


def test_another_error_does_not_ask_for_a_key(page: Any) -> None:
    page.tab.route("**/predict", lambda route: route.fulfill(status=500, json={"detail": "internal error"}))
    page.draw_stroke([[140, 140]])
    page.expect_notice("Internal error.")
    expect(page.find("#key-form")).to_be_hidden()
