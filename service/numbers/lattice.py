"""All ways to put candidates together so that they use every atom once, and what each way is worth.

Atoms are what is never taken apart: strokes, or pieces of ink. A candidate for a digit is a set of atoms, written as
the bits of an integer. A way to read the drawing is a sequence of candidates that share no atom and leave none, with a
label for each; its score is the sum of its candidates' scores and of the log-probabilities of its labels. Over all
ways, the exponentials of the scores give probabilities: a conditional random field over segmentations.

Source: S. Sarawagi, W. W. Cohen, Semi-Markov Conditional Random Fields for Information Extraction, NIPS 2004.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

BEAM = 64
"""States looked at for each first free atom: more than honest drawings have, and a bound for scribbles."""

Step = tuple[int, int]
"""A candidate and a label, both by index."""
Trail: TypeAlias = "tuple[()] | tuple[Trail, Step]"
"""Steps, the last one outermost: trails share their beginnings."""


class Candidate(NamedTuple):
    """A set of atoms that may be a digit."""

    atoms: int
    """Bit i: holds atom i."""
    score: float
    """How much this set speaks for itself: its part of the score of a way, without the label's."""
    labels: tuple[tuple[int, float], ...]
    """The likeliest labels, and the logarithm of each one's probability."""


class Way(NamedTuple):
    """A way to read the drawing."""

    steps: tuple[Step, ...]
    probability: float


class State:
    """Everything known about the ways to use up one set of atoms."""

    __slots__ = ("best", "total")

    def __init__(self) -> None:
        self.total = -math.inf
        """Logarithm of the sum of the exponential scores."""
        self.best: list[tuple[float, Trail]] = []


def find_ways(atoms: int, candidates: Sequence[Candidate], count: int) -> list[Way]:
    """Give the `count` likeliest ways to use all atoms, the likeliest first.

    Whichever candidates are taken first, others have to use up the rest, so that there is a way. Probabilities are
    relative to all ways, or, where there are too many to look at, to the likely ones.
    """
    starting = group_by_first(atoms, candidates)
    frontier: list[dict[int, State]] = [{} for _ in range(atoms + 1)]
    frontier[0][0] = start = State()
    start.total, start.best = 0.0, [(0.0, ())]
    for first in range(atoms):
        for used, state in heapq.nlargest(BEAM, frontier[first].items(), key=lambda item: item[1].total):
            state.best = heapq.nlargest(count, state.best, key=lambda entry: entry[0])
            for index in starting[first]:
                if not candidates[index].atoms & used:
                    extend_state(state, index, candidates[index], used, frontier)
    (end,) = frontier[atoms].values()
    best = heapq.nlargest(count, end.best, key=lambda entry: entry[0])
    return [Way(unroll(trail), math.exp(score - end.total)) for score, trail in best]


def group_by_first(atoms: int, candidates: Sequence[Candidate]) -> list[list[int]]:
    """List the candidates by their first atom: with all before it in use, no other can take the first free one."""
    groups: list[list[int]] = [[] for _ in range(atoms)]
    for index, candidate in enumerate(candidates):
        groups[first_set(candidate.atoms)].append(index)
    return groups


def extend_state(state: State, index: int, candidate: Candidate, used: int, frontier: list[dict[int, State]]) -> None:
    """Go on with a candidate, to the state in which its atoms are used as well."""
    together = used | candidate.atoms
    following = frontier[first_set(~together)].setdefault(together, State())
    following.total = add_logarithms(following.total, state.total + candidate.score)
    for score, trail in state.best:
        for label, log_probability in candidate.labels:
            following.best.append((score + candidate.score + log_probability, (trail, (index, label))))


def first_set(bits: int) -> int:
    """Give the index of the lowest bit that is 1."""
    return (bits & -bits).bit_length() - 1


def add_logarithms(one: float, other: float) -> float:
    """Give the logarithm of the sum of two numbers given by theirs."""
    low, high = sorted((one, other))
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def unroll(trail: Trail) -> tuple[Step, ...]:
    """List a trail's steps, the first first."""
    steps: list[Step] = []
    while trail:
        trail, step = trail
        steps.append(step)
    return tuple(reversed(steps))
