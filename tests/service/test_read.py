"""`POST /read`: whole numbers, from strokes and from images, and what nobody should send."""

from __future__ import annotations

import threading
import tracemalloc
from base64 import b64encode
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from service.contract import ReadRequest
from service.numbers.strokes import MAX_STROKES
from service.reading import MAX_POINTS
from service.rendering import render_strokes
from service.routes.read import decode_request

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


def test_each_digit_has_its_box_its_answers_and_its_confidence(client, compose):
    strokes, width = compose("2026")
    answer = client.post("/read", json={"strokes": strokes, "width": width}).json()
    assert set(answer) == {"number", "confidence", "digits", "alternatives"}
    assert 0.5 < answer["confidence"] <= 1
    for digit, after in zip(answer["digits"], [*answer["digits"][1:], None], strict=True):
        assert set(digit) == {"digit", "confidence", "box", "top_predictions"}
        assert len(digit["top_predictions"]) == 5
        assert digit["confidence"] == digit["top_predictions"][0]["confidence"]
        x, y, w, h = digit["box"]
        assert min(x, y) >= 0
        assert x + w <= width
        assert y + h <= 280
        assert after is None or x + w < after["box"][0]


def test_boxes_of_an_image_are_in_its_pixels(client, encode):
    image = Image.new("L", (700, 300), 10)
    pen = ImageDraw.Draw(image)
    for left in (100, 500):
        pen.line([(left, 60), (left, 240)], fill=255, width=20)
    answer = client.post("/read", content=encode(image), headers={"Content-Type": "image/png"}).json()
    assert answer["number"] == "11"
    assert [digit["box"][0] for digit in answer["digits"]] == pytest.approx([90, 490], abs=1)
    assert [digit["box"][3] for digit in answer["digits"]] == pytest.approx([181, 181], abs=1)


def test_a_large_image_is_read_like_a_small_one(client, compose, draw, encode):
    small = draw(*compose("444"))
    large = small.resize((small.width * 4, small.height * 4))
    answers = [
        client.post("/read", content=encode(image), headers={"Content-Type": "image/png"}).json()
        for image in (small, large)
    ]
    assert [answer["number"] for answer in answers] == ["444", "444"]
    boxes = [np.array([digit["box"] for digit in answer["digits"]]) for answer in answers]
    assert boxes[1] / 4 == pytest.approx(boxes[0], abs=2)


def test_alternatives_are_other_numbers_in_descending_order(client, compose, draw, encode):
    png = encode(draw(*compose("88", gap=-12)))
    answer = client.post("/read", content=png, headers={"Content-Type": "image/png"}).json()
    numbers = [answer["number"], *(other["number"] for other in answer["alternatives"])]
    chances = [answer["confidence"], *(other["confidence"] for other in answer["alternatives"])]
    assert 2 <= len(set(numbers)) == len(numbers) <= 5
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) <= 1 + 1e-5


def test_predict_is_not_touched_by_reading(client, compose, draw, encode):
    png = encode(draw(*compose("7")))
    sent = {"content": png, "headers": {"Content-Type": "image/png"}}
    before = client.post("/predict", **sent).content
    client.post("/read", **sent)
    assert client.post("/predict", **sent).content == before


def test_strokes_off_the_canvas_are_not_seen(client, compose):
    strokes, width = compose("10")
    hidden = [[[width + 50, 20], [width + 50, 200]], [[-80, 20], [-80, 200]]]
    assert client.post("/read", json={"strokes": strokes + hidden, "width": width}).json()["number"] == "10"


def test_digits_at_the_border_have_boxes_inside_it(client):
    bars = [[[2, 2], [2, 278]], [[278, 2], [278, 278]]]
    answer = client.post("/read", json={"strokes": bars}).json()
    assert answer["number"] == "11"
    assert [digit["box"] for digit in answer["digits"]] == [[0, 0, 12, 280], [268, 0, 12, 280]]


def scribble(count: int, size: float = 250.0) -> list[list[float]]:
    return (np.random.default_rng(0).random((count, 2)) * size + 15).tolist()


STACKED = [[[40, 20], [40, 110]], [[90, 20], [90, 110]], [[40, 170], [40, 260]], [[90, 170], [90, 260]]]
ONES = [[[20 + 40 * place, 80], [20 + 40 * place, 200]] for place in range(13)]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, "either `image` or `strokes`"),
        ({"image": "", "strokes": []}, 422, "either `image` or `strokes`"),
        ({"strokes": []}, 400, "no strokes on the canvas"),
        ({"strokes": [[]]}, 422, "length >= 1"),
        ({"strokes": [[[500, 500]]]}, 400, "no strokes on the canvas"),
        ({"strokes": [[[1, 2, 3]]]}, 422, "length 2"),
        ({"strokes": [[[1, "2"]]]}, 422, "float"),
        ({"strokes": [[[1, 1e30]]]}, 422, "20000"),
        ({"strokes": [[[1, 2]]], "width": 0}, 422, ">= 1"),
        ({"strokes": [[[1, 2]]], "size": 5}, 422, "unknown field"),
        ({"image": "data:image/png;base64,?"}, 400, "not base64"),
        ({"image": "aGVsbG8="}, 400, "not an image"),
        (
            {"strokes": [[[5 + i, 9], [5 + i, 99]] for i in range(200)]},
            400,
            f"200 strokes, more than the {MAX_STROKES}",
        ),
        ({"strokes": [scribble(2000)]}, 400, "scribble"),
        ({"strokes": [scribble(MAX_POINTS + 1)]}, 400, "points"),
        ({"strokes": [scribble(8) for _ in range(40)]}, 400, "ways"),
        ({"strokes": STACKED}, 400, "one line"),
        ({"strokes": ONES, "width": 600}, 400, "13 digits: at most 12"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(client, body, status, words):
    answer = client.post("/read", json=body)
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.json()


def test_no_number_is_read_from_nan(client):
    answer = client.post("/read", content=b'{"strokes": [[[NaN, 1]]]}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "not JSON" in answer.json()["detail"]


def test_a_million_points_are_too_large_a_body(client):
    body = b'{"strokes": [[' + b",".join([b"[1,2]"] * 1_000_000) + b"]]}"
    answer = client.post("/read", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_far_too_many_points_are_refused_before_they_are_decoded(client):
    body = b'{"strokes": [[' + b",".join([b"[1,2]"] * 600_000) + b"]]}"
    tracemalloc.start()
    answer = client.post("/read", content=body, headers={"Content-Type": "application/json"})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (answer.status_code, "points" in answer.json()["detail"]) == (400, True)
    assert peak < 8 * len(body)


def test_json_is_decoded_by_the_threads_of_which_there_are_few(client, compose, monkeypatch):
    """On the event loop it would keep everybody waiting, and decoded strokes would wait in the queue."""
    names = []

    def decode(body: bytes) -> ReadRequest:
        names.append(threading.current_thread().name)
        return decode_request(body)

    monkeypatch.setattr("service.routes.read.decode_request", decode)
    strokes, width = compose("10")
    assert client.post("/read", json={"strokes": strokes, "width": width}).json()["number"] == "10"
    assert [name.partition("_")[0] for name in names] == ["inference"]


def test_a_photograph_of_a_page_of_text_is_refused(client, encode):
    page = Image.new("L", (1600, 1200), 10)
    pen = ImageDraw.Draw(page)
    for line in range(40):
        pen.text((40, 20 + 28 * line), "the quick brown fox jumps over the lazy dog " * 5, fill=240)
    answer = client.post("/read", content=encode(page), headers={"Content-Type": "image/png"})
    assert answer.status_code == 400
    assert "pieces of ink" in answer.json()["detail"]


def test_ink_too_faint_to_survive_scaling_down_is_refused(client, encode):
    image = Image.new("L", (2000, 1500))
    for place in ((0, 0), (1999, 1499)):
        image.putpixel(place, 60)
    answer = client.post("/read", content=encode(image), headers={"Content-Type": "image/png"})
    assert (answer.status_code, "too faint" in answer.json()["detail"]) == (400, True)


def test_an_image_without_ink_is_refused(client, encode):
    answer = client.post("/read", content=encode(Image.new("L", (280, 280), 10)), headers={"Content-Type": "image/png"})
    assert answer.status_code == 400


def test_one_scribble_over_the_whole_canvas_is_no_sure_number(client):
    answer = client.post("/read", json={"strokes": [scribble(60)]})
    assert answer.status_code == 200
    assert answer.json()["confidence"] < 0.9


any_stroke = st.lists(st.tuples(st.floats(-50, 330), st.floats(-50, 330)), min_size=1, max_size=12)


def expect_number_or_refusal(answer):
    assert answer.status_code in {200, 400}
    document = answer.json()
    if answer.status_code == 200:
        assert 1 <= len(document["number"]) == len(document["digits"]) <= 12
    else:
        assert document["detail"]


@given(strokes=st.lists(any_stroke, max_size=14))
@settings(max_examples=40)
def test_any_strokes_get_an_answer_or_a_clear_refusal(client, strokes):
    expect_number_or_refusal(client.post("/read", json={"strokes": strokes}))


@given(
    strokes=st.lists(any_stroke, min_size=1, max_size=14),
    pen=st.sampled_from([2, 7, 20, 60]),
)
@settings(max_examples=40)
def test_any_ink_gets_an_answer_or_a_clear_refusal(client, encode, strokes, pen):
    png = encode(Image.fromarray(render_strokes(strokes, pen)))
    expect_number_or_refusal(client.post("/read", content=png, headers={"Content-Type": "image/png"}))
