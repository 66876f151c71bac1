"""Corrections that leave the browser: only where the server wants them and the user agrees."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from service.contract import QUARANTINE
from training.config import STROKES
from training.corrections import load_corrections

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def feedback(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("feedback")


@pytest.fixture(scope="module")
def wanting(start_shared_server: Callable[..., Any], feedback: Path) -> Any:
    """A server that takes corrections."""
    return start_shared_server("--feedback-dir", str(feedback))


@pytest.fixture
def folder(wanting: Any, feedback: Path) -> Path:
    """Where it keeps them: empty, as for a server that has just started."""
    for each in feedback.iterdir():
        shutil.rmtree(each)
    quarantine = feedback / QUARANTINE
    quarantine.mkdir()
    return quarantine


@pytest.fixture
def opened(open_page: Callable[..., Any], wanting: Any, folder: Path) -> Any:
    """Its page."""
    # High enough for all of it: a browser that restores where one had scrolled to would move the canvas under the pen.
    return open_page(wanting.url, viewport={"width": 1120, "height": 1600})


@pytest.fixture
def offered(opened: Any) -> Any:
    """Its page with a seven and the panel open."""
    draw_and_open(opened)
    expect(opened.find("#consent-option")).to_be_visible()
    return opened


def draw_and_open(page: Any) -> None:
    page.draw("seven-crossed")
    page.expect_digit("7")
    page.find("#correction-toggle").click()
    expect(page.find("#correction")).to_be_visible()


def correct(page: Any, label: int, says: str) -> None:
    page.find("#labels button").nth(label).click()
    expect(page.find("#correction-message")).to_contain_text(says)


def sent(page: Any) -> list[Any]:
    return [request for request in page.requests if request.url.endswith("/feedback") and request.method == "POST"]


def test_a_server_that_wants_none_is_sent_none(page: Any) -> None:
    page.tab.add_init_script("localStorage['livedigit.consent'] = 'true'")
    page.tab.reload()
    draw_and_open(page)
    correct(page, 1, "Kept as a 1, in this browser.")
    expect(page.find("#consent-option")).to_be_hidden()
    assert sent(page) == []


def test_nothing_is_sent_until_the_user_agrees(offered: Any, folder: Path) -> None:
    expect(offered.find("#consent")).not_to_be_checked()
    correct(offered, 1, "Kept as a 1, in this browser.")
    assert sent(offered) == []
    assert list(folder.iterdir()) == []


def test_what_is_agreed_to_is_sent_and_can_be_learnt_from_once_checked(offered: Any, folder: Path) -> None:
    offered.find("#consent").check()
    correct(offered, 1, "Kept as a 1, and sent. Thank you.")
    (path,) = folder.iterdir()
    (row,) = json.loads(path.read_text())
    assert (row["label"], row["answered"]["digit"], row["model"]) == ("1", 7, "digits")
    assert row["name"] == offered.stored("corrections")[0]["name"]
    folder.rename(folder.parent / "checked")
    (digit,) = load_corrections([folder.parent / "checked"], STROKES).digits
    assert (digit.label, len(digit.strokes)) == (1, 2)


def test_consent_is_remembered_and_can_be_taken_back(offered: Any, folder: Path) -> None:
    offered.find("#consent").check()
    offered.tab.reload()
    draw_and_open(offered)
    expect(offered.find("#consent")).to_be_checked()
    correct(offered, 1, "and sent")
    offered.find("#consent").uncheck()
    correct(offered, 2, "Kept as a 2, in this browser.")
    offered.tab.reload()
    draw_and_open(offered)
    expect(offered.find("#consent")).not_to_be_checked()
    assert len(list(folder.iterdir())) == 1


def test_consent_taken_back_in_one_tab_is_taken_back_in_all(offered: Any, open_page: Callable[..., Any]) -> None:
    offered.find("#consent").check()
    other = open_page(offered.tab.url, context=offered.tab.context)
    draw_and_open(other)
    other.find("#consent").uncheck()
    # A tab in the background gets its events late.
    offered.tab.bring_to_front()
    expect(offered.find("#consent")).not_to_be_checked()
    correct(offered, 1, "Kept as a 1, in this browser.")
    assert sent(offered) == []


def test_what_cannot_be_sent_is_kept_all_the_same(offered: Any, folder: Path) -> None:
    offered.find("#consent").check()
    folder.rmdir()
    correct(offered, 1, "Kept as a 1, but not sent: the correction could not be written")
    assert len(offered.stored("corrections")) == 1
    offered.tab.context.set_offline(True)
    correct(offered, 2, "Kept as a 2, but not sent")


def test_digits_of_a_number_are_sent_one_by_one(offered: Any, folder: Path) -> None:
    offered.find("#consent").check()
    offered.find("#clear").click()
    offered.write_number("10")
    offered.expect_digit("10")
    offered.find("#digits button").nth(1).click()
    correct(offered, 6, "and sent")
    (path,) = folder.iterdir()
    (row,) = json.loads(path.read_text())
    assert (row["label"], row["answered"]["digit"]) == ("6", 0)
    assert all(0 <= value <= 280 for stroke in row["strokes"] for point in stroke for value in point)


def hold(page: Any, method: str) -> list[Any]:
    """Hold every such request about corrections, in the list."""
    held: list[Any] = []
    page.tab.route(
        "**/feedback", lambda route: held.append(route) if route.request.method == method else route.continue_()
    )
    return held


def correct_twice(page: Any) -> list[Any]:
    """Agree, and choose a 2 and then a 5, before the 2 has been sent; give what is held of both."""
    page.find("#consent").check()
    held = hold(page, "POST")
    correct(page, 2, "Kept as a 2, in this browser.")
    page.wait_until(lambda: len(held) == 1)
    correct(page, 5, "Kept as a 5, in this browser.")
    return held


def test_a_later_label_is_sent_after_the_one_before_and_counts(offered: Any, folder: Path) -> None:
    held = correct_twice(offered)
    held[0].continue_()
    offered.wait_until(lambda: len(held) == 2)
    held[1].continue_()
    expect(offered.find("#correction-message")).to_have_text("Kept as a 5, and sent. Thank you.")
    assert [each["label"] for each in offered.stored("corrections")] == ["5"]
    assert [json.loads(path.read_text())[0]["label"] for path in sorted(folder.iterdir())] == ["2", "5"]


def test_what_is_deleted_before_its_turn_is_not_sent(offered: Any) -> None:
    held = correct_twice(offered)
    offered.find("#delete-corrections").click()
    with offered.tab.expect_response("**/feedback"):
        held[0].continue_()
    offered.tab.wait_for_timeout(200)
    assert len(held) == 1
    assert offered.stored("corrections") == []


def test_the_first_correction_waits_for_the_server_to_say_whether_it_wants_any(opened: Any) -> None:
    opened.tab.add_init_script("localStorage['livedigit.consent'] = 'true'")
    opened.tab.reload()
    asked = hold(opened, "GET")
    draw_and_open(opened)
    correct(opened, 1, "Kept as a 1, in this browser.")
    asked[0].continue_()
    expect(opened.find("#correction-message")).to_have_text("Kept as a 1, and sent. Thank you.")


def test_a_server_that_could_not_say_whether_it_wants_corrections_is_asked_again(opened: Any) -> None:
    opened.tab.route("**/feedback", lambda route: route.fulfill(status=401, json={"detail": "no"}))
    draw_and_open(opened)
    expect(opened.find("#consent-option")).to_be_hidden()
    opened.tab.unroute("**/feedback")
    opened.draw_stroke([[40, 240], [60, 240]])
    expect(opened.find("#consent-option")).to_be_visible()


def test_what_this_browser_does_not_keep_is_not_said_to_be_kept(offered: Any) -> None:
    offered.find("#consent").check()
    offered.tab.evaluate("void (Storage.prototype.setItem = () => { throw new Error('full') })")
    correct(offered, 1, "Sent as a 1, but this browser does not let the page keep it.")
    offered.tab.context.set_offline(True)
    correct(offered, 2, "This browser does not let the page keep it.")


def test_corrections_of_another_tab_are_counted(offered: Any, open_page: Callable[..., Any]) -> None:
    other = open_page(offered.tab.url, context=offered.tab.context)
    draw_and_open(other)
    correct(other, 1, "Kept as a 1")
    offered.tab.bring_to_front()
    expect(offered.find("#corrections-count")).to_have_text("1 drawing put right so far.")
