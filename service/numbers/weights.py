"""What each feature of a candidate counts, fitted to numbers composed of recorded digits.

    python -m training.numbers_fitting MODEL --data-dir DATA

MODEL was version 3's recipe without the six writers that are held out, with seed 1; the numbers were of the other 24.
"""

from __future__ import annotations

from service.numbers.geometry import Features

STROKES = Features(
    bias=-0.850,
    certainty=0.316,
    low=-0.386,
    wide=-0.102,
    apart=0.048,
    contact=-0.829,
    overlap=-0.984,
    parts=0.850,
    cut=0.0,
    uncut=0.0,
    doubt=-0.798,
)
INK = Features(
    bias=-0.549,
    certainty=0.431,
    low=-1.628,
    wide=-0.745,
    apart=-0.003,
    contact=0.0,
    overlap=-1.372,
    parts=-0.066,
    cut=-0.045,
    uncut=0.603,
    doubt=-0.567,
)
