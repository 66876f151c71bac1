from __future__ import annotations

import json
import os

import numpy as np

from benchmarks.reading import GAP, NUMBERS, compose, make_questions, processor_seconds


def test_the_same_digits_are_asked_about_in_every_form():
    questions = make_questions()
    assert len(questions.digits) == sum(map(len, NUMBERS))
    assert len(questions.images) == len(questions.strokes) == len(NUMBERS)
    assert all(request.startswith(b"POST /predict ") for request in questions.digits)
    assert all(request.startswith(b"POST /read ") for request in questions.images + questions.strokes)
    body = json.loads(questions.strokes[0].partition(b"\r\n\r\n")[2])
    assert max(x for stroke in body["strokes"] for x, _ in stroke) <= body["width"]


def test_digits_stand_side_by_side():
    bar = [np.array([[100.0, 20.0], [140.0, 250.0]])]
    strokes, width = compose([bar, bar])
    assert [float(stroke[:, 0].min()) for stroke in strokes] == [GAP, GAP + 20 + GAP]
    assert width == 3 * GAP + 40


def test_processor_time_only_grows():
    before = processor_seconds(os.getpid())
    sum(range(100_000))
    assert processor_seconds(os.getpid()) >= before > 0
