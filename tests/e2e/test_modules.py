"""The page's pure modules, run in the browser that they are made for, on the drawings that Python's tests read."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.preprocessing import decode_image, prepare_image
from service.rendering import render_strokes

pytestmark = pytest.mark.browser

# Chromium's antialiasing against the distance to the line differs on the edge's pixels alone: grey levels, seen up
# to 0.16 in the mean over a drawing.
MEAN_TOLERANCE = 0.25
MAX_SHARE_OF_CLEAR_DIFFERENCES = 0.001
CLEAR_DIFFERENCE = 40


@pytest.fixture(scope="module")
def call(browser: Any, server: Any) -> Any:
    """Call a function of a module of the page."""
    tab = browser.new_page()
    tab.goto(server.url)

    def call_function(module: str, name: str, *arguments: Any) -> Any:
        return tab.evaluate(
            """async ([module, name, args]) => {
                const result = (await import(`/static/js/${module}.js`))[name](...args);
                if (result instanceof HTMLCanvasElement) return result.toDataURL();
                return result instanceof Uint8Array ? Array.from(result) : result;
            }""",
            [module, name, list(arguments)],
        )

    yield call_function
    tab.close()


def decoded(data_url: str) -> bytes:
    return base64.b64decode(data_url.partition(",")[2])


def test_strokes_survive_their_compact_form(call: Any, drawings: list[dict[str, Any]]) -> None:
    for drawing in drawings:
        strokes = [[[x + 0.5, y] for x, y in stroke] for stroke in drawing["strokes"]]
        text = call("strokes", "encodeStrokes", strokes)
        assert call("strokes", "decodeStrokes", text) == strokes
        assert len(text) < 5 * sum(map(len, strokes))


@pytest.mark.parametrize(
    "text", ["", ".", "A", "AAA", "AA.", "~~", "AA AA", "gggggggggg", "Dgggg", "wjBAwjBA", "AAB", "A" * 90_000, "é"]
)
def test_text_that_is_no_drawing_is_refused(call: Any, text: str) -> None:
    with pytest.raises(Exception, match="RangeError"):
        call("strokes", "decodeStrokes", text)


def test_the_crop_that_is_sent_leads_to_the_same_tensor_bit_for_bit(call: Any, drawings: list[dict[str, Any]]) -> None:
    for drawing in drawings:
        whole = prepare_image(decoded(call("render", "rasterFromDrawing", drawing)))
        sent = prepare_image(bytes(call("render", "imageFromDrawing", drawing)))
        assert np.array_equal(whole.crop, sent.crop)
        assert np.array_equal(whole.tensor, sent.tensor)


def test_the_picture_that_is_sent_is_a_sound_grey_png(call: Any, drawings: list[dict[str, Any]]) -> None:
    sent = bytes(call("render", "imageFromDrawing", drawings[0]))
    with Image.open(io.BytesIO(sent)) as image:
        image.verify()
        assert (image.format, image.mode) == ("PNG", "L")


@pytest.mark.parametrize("corner", [[0, 0], [280, 280], [0, 280], [140, 0]])
def test_ink_on_the_edge_of_the_canvas_is_sent_whole(call: Any, corner: list[int]) -> None:
    strokes = [[corner], [[140, 140], corner]]
    whole = prepare_image(decoded(call("render", "rasterFromDrawing", {"strokes": strokes})))
    sent = prepare_image(bytes(call("render", "imageFromDrawing", {"strokes": strokes})))
    assert np.array_equal(whole.crop, sent.crop)


def test_python_draws_strokes_as_the_page_does(call: Any, drawings: list[dict[str, Any]]) -> None:
    """Training renders recorded strokes itself; what it learns from must look like what the page sends."""
    for drawing in drawings:
        page = decode_image(decoded(call("render", "rasterFromDrawing", drawing))).astype(int)
        difference = np.abs(page - render_strokes([np.array(stroke) for stroke in drawing["strokes"]]))
        assert difference.mean() <= MEAN_TOLERANCE, drawing["name"]
        assert (difference > CLEAR_DIFFERENCE).mean() <= MAX_SHARE_OF_CLEAR_DIFFERENCES, drawing["name"]


def test_the_eraser_cuts_a_stroke_in_two(call: Any) -> None:
    pieces = call("strokes", "eraseAt", [[[20, 100], [200, 100]]], [110, 100], 16)
    assert len(pieces) == 2
    assert max(x for x, _ in pieces[0]) <= 94
    assert min(x for x, _ in pieces[1]) >= 126


def test_the_eraser_leaves_alone_what_it_does_not_touch(call: Any) -> None:
    strokes = [[[20, 100], [200, 100]], [[50, 50]]]
    assert call("strokes", "eraseAt", strokes, [110, 200], 16) == strokes
    assert call("strokes", "eraseAt", strokes, [50, 50], 16) == strokes[:1]


def test_what_mattered_is_found_where_the_answers_change(call: Any) -> None:
    """A made-up model that looks at one patch's ink for 3 and at another's emptiness against 8."""
    levels = [1.0 if index == 0 else 0.0 for index in range(784)]
    variants = call("explain", "variantsOf", levels)
    assert len(variants) == 99
    logits = [
        [0.0] * 3 + [5.0 * variant[0]] + [0.0] * 4 + [4.0 * variant[27 * 28 + 27]] + [0.0] for variant in variants
    ]
    effects = call("explain", "effectsOf", logits, 3, 8)
    assert effects["ink"] == [5.0] + [0.0] * 48
    assert effects["gap"] == [0.0] * 48 + [4.0]
    assert call("explain", "strongest", effects["ink"]) == {"row": 0, "column": 0}
    assert call("explain", "strongest", effects["gap"]) == {"row": 2, "column": 2}
    assert call("explain", "strongest", [0.1] * 49) is None
