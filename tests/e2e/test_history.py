"""The last 20 drawings, kept in the browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def entries(page: Any) -> Any:
    return page.find("#history button")


def test_history_survives_a_reload(page: Any) -> None:
    page.draw("seven-crossed")
    page.expect_digit("7")
    page.tab.reload()
    expect(entries(page)).to_have_count(1)
    assert "7" in entries(page).first.inner_text()


def test_a_drawing_is_one_entry_however_many_strokes_it_has(page: Any) -> None:
    page.draw_stroke([[80, 64], [198, 60], [128, 228]])
    page.wait_for("document.querySelectorAll('#history button').length === 1")
    page.draw_stroke([[104, 146], [190, 142]])
    page.tab.keyboard.press("Escape")
    page.expect_blank()
    page.draw("zero-oval")
    page.expect_digit("0")
    expect(entries(page)).to_have_count(2)


def test_an_entry_opens_the_very_drawing(page: Any) -> None:
    page.draw("seven-crossed")
    page.expect_digit("7")
    sent = page.predictions()[-1].post_data_buffer
    page.tab.keyboard.press("Escape")
    page.expect_blank()
    page.tab.reload()
    entries(page).first.click()
    page.expect_digit("7")
    assert page.predictions()[-1].post_data_buffer == sent


def test_looking_at_an_entry_changes_nothing(page: Any) -> None:
    for name in ("seven-crossed", "zero-oval"):
        page.draw(name)
        page.expect_digit(page.drawings[name]["label"])
        page.tab.keyboard.press("Escape")
        page.expect_blank()
    kept = page.stored("history")
    entries(page).last.focus()
    page.tab.keyboard.press("Enter")
    page.expect_digit("7")
    assert page.stored("history") == kept
    expect(entries(page).last).to_be_focused()
    page.draw_stroke([[20, 20], [30, 30]])
    page.wait_until(lambda: page.stored("history")[0]["id"] == kept[1]["id"])
    expect(entries(page)).to_have_count(2)


def test_a_drawing_of_more_strokes_than_can_be_opened_is_read_and_neither_kept_nor_shared(page: Any) -> None:
    page.find("#pad").focus()
    page.tab.evaluate(
        """() => {
            for (let count = 0; count < 1002; count += 1) {
                pad.dispatchEvent(new KeyboardEvent("keydown", { key: " " }));
            }
        }"""
    )
    page.wait_for("answer.dataset.state !== 'blank' && !answer.hasAttribute('data-busy')")
    expect(page.find("#share")).to_be_disabled()
    expect(entries(page)).to_have_count(0)
    page.tab.keyboard.press("Control+z")
    expect(entries(page)).to_have_count(1)
    expect(page.find("#share")).to_be_enabled()


def test_only_the_last_twenty_are_kept(open_page: Callable[..., Any]) -> None:
    many = [{"id": str(index), "strokes": "IIII", "digit": 1, "confidence": 0.9} for index in range(30)]
    page = open_page(prepare=store("livedigit.history", many))
    page.draw("seven-plain")
    page.expect_digit("7")
    expect(entries(page)).to_have_count(20)
    assert "7" in entries(page).first.inner_text()


def test_history_can_be_cleared(page: Any) -> None:
    page.draw("seven-plain")
    expect(entries(page)).to_have_count(1)
    page.is_sure = False
    page.find("#clear-history").click()
    expect(entries(page)).to_have_count(1)
    page.is_sure = True
    page.find("#clear-history").click()
    expect(entries(page)).to_have_count(0)
    assert page.questions == ["Forget 1 drawing? Nothing brings them back."] * 2
    page.tab.reload()
    expect(page.find("#history-empty")).to_be_visible()


@pytest.mark.parametrize(
    "stored",
    ["not json", "{}", "[1]", '[{"id": "a", "strokes": "~~", "digit": 1, "confidence": 0.5}]', "null"],
)
def test_damaged_storage_is_ignored(open_page: Callable[..., Any], stored: str) -> None:
    page = open_page(prepare=lambda tab: tab.add_init_script(f"localStorage['livedigit.history'] = {stored!r}"))
    page.draw("seven-plain")
    page.expect_digit("7")
    expect(entries(page)).to_have_count(1)


@pytest.mark.parametrize(
    "sabotage",
    [
        "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }",
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })",
    ],
    ids=["full", "forbidden"],
)
def test_without_storage_the_page_works_and_says_so(open_page: Callable[..., Any], sabotage: str) -> None:
    page = open_page(prepare=lambda tab: tab.add_init_script(sabotage))
    page.draw("seven-plain")
    page.expect_digit("7")
    expect(entries(page)).to_have_count(1)
    expect(page.find("#history-problem")).to_be_visible()


def test_two_tabs_share_one_history(open_page: Callable[..., Any], page: Any) -> None:
    other = open_page(context=page.tab.context)
    # A tab in the background gets its events late.
    page.tab.bring_to_front()
    page.draw("seven-plain")
    page.expect_digit("7")
    expect(entries(other)).to_have_count(1)
    other.tab.bring_to_front()
    other.draw("zero-oval")
    other.expect_digit("0")
    expect(entries(page)).to_have_count(2)


def store(key: str, value: Any) -> Callable[[Any], None]:
    """Put a value into the storage before the page starts."""

    def prepare(tab: Any) -> None:
        tab.add_init_script(f"localStorage[{key!r}] = JSON.stringify({value!r})")

    return prepare


def test_a_link_opened_again_is_no_new_entry(page: Any) -> None:
    page.draw("seven-plain")
    page.expect_digit("7")
    (entry,) = page.stored("history")
    link = f"{page.tab.url}#d={entry['strokes']}"
    for _ in range(2):
        page.tab.goto("about:blank")
        page.tab.goto(link)
        page.expect_digit("7")
    assert page.stored("history") == [entry]
