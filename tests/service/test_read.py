"""`POST /read`: whole numbers, from strokes and from images, and what nobody should send."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.rendering import render_strokes

Strokes = list[list[list[float]]]


@pytest.fixture(scope="module")
def compose(drawings: list[dict[str, Any]]):
    """Write a number with our own drawings, side by side: strokes and the width that they need."""
    by_label = {drawing["label"]: drawing["strokes"] for drawing in reversed(drawings)}

    def composed(number: str, gap: float = 25.0, scale: float = 0.4) -> tuple[Strokes, float]:
        strokes, x = [], 20.0
        for label in number:
            digit = [np.array(stroke, float) * scale for stroke in by_label[label]]
            low, high = (function(np.concatenate(digit), axis=0) for function in (np.min, np.max))
            strokes += [(stroke - [low[0] - x, low[1] - 80]).tolist() for stroke in digit]
            x += float(high[0] - low[0]) + gap
        return strokes, max(x, 280.0)

    return composed


@pytest.fixture(scope="module")
def draw():
    """Draw strokes as an image of the canvas' height."""

    def drawn(strokes: Strokes, width: float) -> Image.Image:
        return Image.fromarray(render_strokes(strokes, 14, int(width))[:280])

    return drawn


@pytest.mark.parametrize("number", ["7", "10", "2026", "444", "007", "123456789012"])
def test_strokes_are_read_as_a_whole_number(client, compose, number):
    strokes, width = compose(number)
    answer = client.post("/read", json={"strokes": strokes, "width": width, "height": 280})
    assert answer.status_code == 200
    assert answer.json()["number"] == number
    assert [str(digit["digit"]) for digit in answer.json()["digits"]] == list(number)


@pytest.mark.parametrize("number", ["7", "10", "2026", "444", "007", "123456789012"])
def test_an_image_is_read_as_a_whole_number(client, compose, draw, encode, number):
    png = encode(draw(*compose(number)))
    for sent in (
        client.post("/read", json={"image": f"data:image/png;base64,{b64encode(png).decode()}"}),
        client.post("/read", content=png, headers={"Content-Type": "image/png"}),
        client.post("/read", files={"image": ("number.png", png, "image/png")}),
    ):
        assert sent.status_code == 200
        assert sent.json()["number"] == number
