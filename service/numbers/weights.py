"""What each feature of a candidate counts, fitted to numbers composed of recorded digits.

    python -m training.numbers_fitting MODEL --data-dir DATA

MODEL was version 2's recipe without the six writers that are held out; the numbers were of the other 24.
"""

from __future__ import annotations

from service.numbers.geometry import Features

STROKES = Features(
    bias=-1.25,
    certainty=0.47,
    low=-0.85,
    wide=-0.28,
    apart=-0.05,
    contact=-2.0,
    overlap=-1.67,
    parts=1.25,
    cut=0.0,
    uncut=0.0,
    doubt=-0.6,
)
INK = Features(
    bias=-0.56,
    certainty=0.51,
    low=-1.4,
    wide=-0.83,
    apart=0.0,
    contact=0.0,
    overlap=-1.19,
    parts=-0.02,
    cut=-0.37,
    uncut=0.49,
    doubt=-0.84,
)
