from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.artifacts import load_classifier
from service.classifier import Answer
from service.errors import InferenceFailure
from service.questions import Question, ask, ask_together, work_alone


class Model:
    """Answers with the images times a factor; fails on a negative one."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def run(self, images):
        if (images < 0).any():
            raise InferenceFailure("negative")
        return Answer(images * self.factor, images)


def question(model, *values: float) -> Question:
    return Question(model, np.array(values, np.float32))


def logits_of(answers) -> list[list[float]]:
    return [answer.logits.tolist() for answer in answers]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4)), min_size=1, max_size=20))
def test_everybody_gets_the_answer_to_the_own_question(asked):
    models = (Model(2.0), Model(3.0))
    questions = [
        question(models[which], *(10.0 * place + i for i in range(n))) for place, (which, n) in enumerate(asked)
    ]
    assert logits_of(ask_together(questions)) == logits_of(map(ask, questions))


def test_where_a_batch_fails_each_is_asked_alone():
    model = Model()
    good, bad, other = ask_together([question(model, 1), question(model, 2, -1), question(Model(5), 3)])
    assert good.logits.tolist() == [1]
    assert isinstance(bad, InferenceFailure)
    assert other.logits.tolist() == [15]


def test_work_alone_raises_what_the_work_or_the_model_raises():
    def work(value):
        answer = yield question(Model(), value)
        return 1 // int(answer.logits[0])

    assert work_alone(work(1)) == 1
    with pytest.raises(ZeroDivisionError):
        work_alone(work(0))
    with pytest.raises(InferenceFailure):
        work_alone(work(-1))


def test_the_served_model_answers_a_batch_as_it_answers_each_image(published):
    """An answer does not depend on who else was asking, but for rounding, which may differ between processors."""
    model = load_classifier(published)
    images = np.random.default_rng(1).random((16, 28, 28, 1), np.float32) ** 4
    rounding = 16 * np.finfo(np.float32).eps
    for size in (2, 3, 5, 8, 16):
        questions = [Question(model, images[i : i + 1]) for i in range(size)]
        for alone, together in zip(map(ask, questions), ask_together(questions), strict=True):
            assert np.abs(alone.logits - together.logits).max() <= rounding * np.abs(alone.logits).max()
            assert np.abs(alone.probabilities - together.probabilities).max() <= rounding
