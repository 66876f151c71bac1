"""What a piece of work asks the model, put so that several can ask together.

Work is a generator: it prepares, yields a `Question`, is sent the `Answer`, and returns what it makes of it. Alone it
is answered at once. Where several wait for their turn anyway, they are asked as one batch, and the model's weights come
into the cache once for all of them: of 16 each takes two thirds of the time (`python -m benchmarks scaling`). ONNX
Runtime gives each the answer that it would give it alone, with an AVX2 processor to the last bit, on others but for
rounding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np

from service.classifier import Answer, Classifier
from service.errors import InferenceFailure
from service.preprocessing import Tensor

T = TypeVar("T")


def nothing() -> None:
    """Do nothing."""


class Question(NamedTuple):
    """Images for a model."""

    model: Classifier
    images: Tensor
    """(N, 28, 28, 1) float32, N of 1 or more."""
    when_asked: Callable[[], None] = nothing
    """Called right before the model is."""


Steps: TypeAlias = "Generator[Question, Answer, T]"


def work_alone(steps: Steps[T]) -> T:
    """Do a piece of work by itself. Raises what it raises, and `InferenceFailure`."""
    try:
        question = next(steps)
        while True:
            question = steps.send(ask(question))
    except StopIteration as end:
        result: T = end.value
        return result


def ask(question: Question) -> Answer:
    """Ask one question. Raises `InferenceFailure`."""
    question.when_asked()
    return question.model.run(question.images)


def ask_together(questions: Sequence[Question]) -> list[Answer | InferenceFailure]:
    """Ask the questions that go to the same model as one batch; an answer or an error for each, in their order."""
    by_model: dict[int, list[int]] = defaultdict(list)
    for index, question in enumerate(questions):
        by_model[id(question.model)].append(index)
    answers: dict[int, Answer | InferenceFailure] = {}
    for indices in by_model.values():
        answers.update(zip(indices, ask_batch([questions[index] for index in indices]), strict=True))
    return [answers[index] for index in range(len(questions))]


def ask_batch(questions: Sequence[Question]) -> list[Answer | InferenceFailure]:
    """Ask one model several questions; where it fails on all of them, one by one, so that none suffers for another."""
    if len(questions) == 1:
        return [try_ask(questions[0])]
    for question in questions:
        question.when_asked()
    try:
        answer = questions[0].model.run(np.concatenate([question.images for question in questions]))
    except InferenceFailure:
        return [try_ask(question) for question in questions]
    ends = np.cumsum([len(question.images) for question in questions])[:-1]
    return [Answer(*parts) for parts in zip(*(np.split(output, ends) for output in answer), strict=True)]


def try_ask(question: Question) -> Answer | InferenceFailure:
    """Ask one question and give its error as a value."""
    try:
        return ask(question)
    except InferenceFailure as error:
        return error
