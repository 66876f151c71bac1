"""Why this digit, and putting it right when it is not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def explained(page: Any) -> str:
    """Draw a four, open the panel, and read the reason."""
    page.draw("four-open")
    page.expect_digit("4")
    page.find("#debug-toggle").click()
    expect(page.find("#mattered")).to_be_visible()
    return str(page.find("#why").inner_text())


def test_the_reason_is_given_in_words_from_one_batch(page: Any) -> None:
    reason = explained(page)
    rival = page.find("#rival").input_value()
    assert f"4 rather than {rival}" in reason
    batches = [request for request in page.requests if request.url.endswith("/infer")]
    assert [request.post_data_json["inputs"][0]["shape"] for request in batches] == [[99, 28, 28, 1]]


def test_any_other_digit_can_be_asked_about_without_asking_the_server_again(page: Any) -> None:
    explained(page)
    asked = len(page.requests)
    for rival in "012356789":
        page.find("#rival").select_option(rival)
        expect(page.find("#why")).to_contain_text(f"4 rather than {rival}")
    assert page.find("#influence").get_attribute("aria-label") == "What speaks for 4 rather than 9"
    assert len(page.requests) == asked


@pytest.mark.parametrize("forced_colors", ["none", "active"])
def test_the_map_shows_the_models_colours(open_page: Callable[..., Any], forced_colors: str) -> None:
    """Those that users choose for text and paper may be the picture's own."""
    page = open_page(viewport={"width": 1120, "height": 900}, forced_colors=forced_colors)
    explained(page)
    coloured = page.tab.evaluate(
        """() => {
            const { data } = influence.getContext("2d").getImageData(0, 0, influence.width, influence.height);
            return data.filter((_, i) => i % 4 === 1 && data[i] > data[i - 1] + 20).length;
        }"""
    )
    assert coloured > 50
    page.problems.clear()


def test_the_map_goes_with_the_answer_that_it_explains(page: Any) -> None:
    explained(page)
    page.tab.route("**/predict?debug=true", lambda route: route.fulfill(status=500, json={"detail": "internal error"}))
    page.draw_stroke([[20, 20], [40, 40]])
    page.expect_notice("Internal error.")
    expect(page.find("#mattered")).to_be_hidden()


def test_the_map_comes_however_late_its_code_does(page: Any) -> None:
    """Every stroke forgets an answer and brings one; all of them wait for the code, and the last one counts."""
    held = page.hold("**/understanding.js")
    page.find("#debug-toggle").click()
    for stroke in page.drawings["four-open"]["strokes"] + [[[270, 270]], [[262, 270]], [[270, 262]]]:
        with page.tab.expect_response("**/predict?debug=true"):
            page.draw_stroke(stroke)
        expect(page.find("#answer")).not_to_have_attribute("data-busy", "")
    for route in held:
        route.continue_()
    expect(page.find("#mattered")).to_be_visible()
    assert f"{page.find('#digit').inner_text()} rather than" in page.find("#why").inner_text()


def test_without_the_inference_protocol_the_rest_of_the_panel_works(page: Any) -> None:
    page.tab.route("**/infer", lambda route: route.fulfill(status=404, json={"error": "no"}))
    page.draw("four-open")
    page.expect_digit("4")
    page.find("#debug-toggle").click()
    page.wait_for("document.getElementById('final-image').naturalWidth === 28")
    expect(page.find("#mattered")).to_be_hidden()


def test_the_panel_names_the_model_and_its_parity_verdict(page: Any) -> None:
    page.find("#debug-toggle").click()
    expect(page.find("#model")).to_have_text(re.compile(r"^Model: digits, version \d+, agrees with TensorFlow\.$"))


def test_a_correction_is_kept_saved_and_loaded(page: Any, tmp_path: Path, open_page: Callable[..., Any]) -> None:
    page.draw("seven-crossed")
    page.expect_digit("7")
    page.find("#correction-toggle").click()
    page.find("#labels button").nth(1).click()
    page.find("#labels button").nth(7).click()
    expect(page.find("#correction-message")).to_have_text("Kept as a 7, in this browser.")
    expect(page.find("#corrections-count")).to_have_text("1 drawing put right so far.")
    with page.tab.expect_download() as download:
        page.find("#save-corrections").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    (saved,) = json.loads(path.read_text(encoding="utf-8"))
    assert saved["label"] == "7"
    assert len(saved["strokes"]) == 2
    assert all(0 <= value <= 280 for stroke in saved["strokes"] for point in stroke for value in point)

    other = open_page()
    open_correction(other)
    other.find("#corrections-file").set_input_files(path)
    expect(other.find("#corrections-count")).to_have_text("1 drawing put right so far.")
    assert corrections(other) == corrections(page)


def test_our_own_drawings_can_be_loaded_and_come_back_unchanged(page: Any, repo_root: Path, tmp_path: Path) -> None:
    """The file that the page reads and writes is the one that the project's programs read."""
    fixture = repo_root / "tests/fixtures/strokes/digits.json"
    open_correction(page)
    page.find("#corrections-file").set_input_files(fixture)
    expect(page.find("#correction-message")).to_have_text("Loaded: 32.")
    with page.tab.expect_download() as download:
        page.find("#save-corrections").click()
    path = tmp_path / "saved.json"
    download.value.save_as(path)
    assert json.loads(path.read_text()) == json.loads(fixture.read_text())
    page.is_sure = False
    page.find("#delete-corrections").click()
    expect(page.find("#corrections-count")).to_have_text("32 drawings put right so far.")
    page.is_sure = True
    page.find("#delete-corrections").click()
    expect(page.find("#corrections-count")).to_have_text("0 drawings put right so far.")
    assert page.questions == ["Delete 32 drawings that you put right? Only a file that you saved brings them back."] * 2


@pytest.mark.parametrize(
    "content",
    [
        "not json",
        "{}",
        "[1]",
        '[{"name": "a", "label": "x", "strokes": [[[1, 2]]]}]',
        '[{"name": "a", "label": "1", "strokes": []}]',
        '[{"name": "a", "label": "1", "strokes": [[[1, 2000]]]}]',
        '[{"name": "a", "label": "1", "strokes": [[["1", null]]]}]',
    ],
)
def test_a_file_that_holds_no_drawings_changes_nothing(page: Any, content: str) -> None:
    open_correction(page)
    page.find("#corrections-file").set_input_files(
        {"name": "x.json", "mimeType": "application/json", "buffer": content.encode()}
    )
    expect(page.find("#correction-message")).to_contain_text("x.json is not a file of drawings")
    expect(page.find("#corrections-count")).to_have_text("0 drawings put right so far.")


def test_nothing_can_be_put_right_on_a_blank_canvas(page: Any) -> None:
    page.find("#correction-toggle").click()
    expect(page.find("#labels button").first).to_be_disabled()
    page.draw("seven-plain")
    expect(page.find("#labels button").first).to_be_enabled()


def open_correction(page: Any) -> None:
    page.find("#correction-toggle").click()
    expect(page.find("#correction")).to_be_visible()


def corrections(page: Any) -> Any:
    return page.tab.evaluate("JSON.parse(localStorage['livedigit.corrections'])")
