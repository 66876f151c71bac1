"""The drawings that travel with the package are renderings of our own strokes, in every form that a client may send."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from export.inputs import read_drawings
from service.preprocessing import decode_image, prepare_image
from service.rendering import render_strokes

Grey = NDArray[np.uint8]

PAPER_RGB = np.array([10, 10, 15])
PAPER_LEVEL = 11
MARGIN = 4
MAX_TOTAL_BYTES = 150_000
LOSSY_LEVELS = 24


def canvas(grey: Grey) -> Image.Image:
    """What `canvas.toBlob` gives: opaque RGBA, white strokes on #0a0a0f."""
    ink = (grey[..., np.newaxis].astype(float) - PAPER_LEVEL) / (255 - PAPER_LEVEL)
    color = np.rint(PAPER_RGB + ink * (255 - PAPER_RGB)).astype(np.uint8)
    return Image.fromarray(np.dstack([color, np.full(grey.shape, 255, np.uint8)]), "RGBA")


def white_on_transparent(grey: Grey) -> Image.Image:
    return Image.fromarray(np.dstack([np.full_like(grey, 255), grey]), "LA")


def cropped(grey: Grey) -> Image.Image:
    """To the ink and a margin, as a client may do to send less."""
    rows, columns = np.nonzero(grey > PAPER_LEVEL)
    top, left = max(rows.min() - MARGIN, 0), max(columns.min() - MARGIN, 0)
    return Image.fromarray(grey[top : rows.max() + MARGIN + 1, left : columns.max() + MARGIN + 1])


def deep(grey: Grey) -> Image.Image:
    return Image.fromarray(grey.astype(np.uint16) * 257)


def dark_on_light(grey: Grey) -> Image.Image:
    """Grey ink on paper that is not quite white."""
    return Image.fromarray(np.rint(240 - (grey - PAPER_LEVEL) * (210 / (255 - PAPER_LEVEL))).astype(np.uint8))


def palette(grey: Grey) -> Image.Image:
    return Image.fromarray(grey).convert("RGB").quantize(64)


FORMS: dict[str, tuple[str, Callable[[Grey], Image.Image], dict[str, Any]]] = {
    "0-canvas.png": ("zero-oval", canvas, {}),
    "1-canvas.png": ("one-plain", canvas, {}),
    "2-canvas.png": ("two-round", canvas, {}),
    "3-canvas.png": ("three-round", canvas, {}),
    "4-canvas.png": ("four-open", canvas, {}),
    "5-canvas.png": ("five-two-strokes", canvas, {}),
    "6-canvas.png": ("six-straight-back", canvas, {}),
    "7-canvas.png": ("seven-plain", canvas, {}),
    "8-canvas.png": ("eight-figure", canvas, {}),
    "9-canvas.png": ("nine-straight", canvas, {}),
    "0-small-in-corner.png": ("zero-small-corner", canvas, {}),
    "1-hooked-transparent.png": ("one-hooked", white_on_transparent, {}),
    "2-looped-grey.jpg": ("two-looped", Image.fromarray, {"quality": 90}),
    "3-flat-top-palette.png": ("three-flat-top", palette, {}),
    "3-dark-on-light.png": ("three-round", dark_on_light, {}),
    "4-closed-grey.gif": ("four-closed", Image.fromarray, {}),
    "5-one-stroke-lossless.webp": ("five-one-stroke", canvas, {"lossless": True}),
    "6-small-cropped.bmp": ("six-round-small", cropped, {}),
    "7-serif-crossed-16-bit.png": ("seven-serif-crossed", deep, {}),
    "8-slanted-cropped.png": ("eight-slanted", cropped, {}),
    "9-curved-rgb.png": ("nine-curved", lambda grey: canvas(grey).convert("RGB"), {}),
}


def render(name: str, drawings: list[dict[str, Any]]) -> Grey:
    return render_strokes(next(each["strokes"] for each in drawings if each["name"] == name))


def encode(file: str, drawings: list[dict[str, Any]]) -> bytes:
    """Write one of the files anew."""
    drawing, form, options = FORMS[file]
    stream = io.BytesIO()
    suffix = file.rpartition(".")[2]
    form(render(drawing, drawings)).save(stream, {"jpg": "jpeg"}.get(suffix, suffix), **options)
    return stream.getvalue()


def test_every_committed_drawing_is_listed_here() -> None:
    assert sorted(FORMS) == [drawing.name for drawing in read_drawings()]


@pytest.mark.parametrize("file", sorted(FORMS))
def test_a_drawing_is_what_our_strokes_render_to(file: str, drawings: list[dict[str, Any]]) -> None:
    """Compared as decoded grey levels, so that another zlib does not matter; JPEG and palette lose a little."""
    committed = next(drawing.data for drawing in read_drawings() if drawing.name == file)
    found = decode_image(committed).astype(int)
    expected = decode_image(encode(file, drawings)).astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= (LOSSY_LEVELS if file.endswith(".jpg") or "palette" in file else 1)


@pytest.mark.parametrize("file", sorted(FORMS))
def test_a_file_name_begins_with_what_was_drawn(file: str, drawings: list[dict[str, Any]]) -> None:
    drawn = next(each["label"] for each in drawings if each["name"] == FORMS[file][0])
    assert file.startswith(f"{drawn}-")


def test_the_drawings_are_small_and_all_readable() -> None:
    files = read_drawings()
    assert sum(len(drawing.data) for drawing in files) < MAX_TOTAL_BYTES
    assert all(prepare_image(drawing.data).tensor.any() for drawing in files)
