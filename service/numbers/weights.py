"""What each feature of a candidate counts, fitted to numbers composed of recorded digits.

    python -m training.numbers_fitting MODEL --data-dir DATA

MODEL was of an earlier form of the recipe `strokes-held-out`, with 32 epochs and seed 1; the numbers were of the
writers it learnt from.
"""

from __future__ import annotations

from service.numbers.geometry import Features

STROKES = Features(
    bias=-0.919,
    certainty=0.289,
    low=-0.499,
    wide=-0.148,
    apart=0.025,
    contact=-0.837,
    overlap=-0.935,
    parts=0.919,
    cut=0.0,
    uncut=0.0,
    doubt=-1.053,
)
INK = Features(
    bias=-0.587,
    certainty=0.463,
    low=-0.598,
    wide=-0.235,
    apart=0.0,
    contact=0.0,
    overlap=-0.990,
    parts=0.008,
    cut=-1.387,
    uncut=0.406,
    doubt=-1.126,
)
