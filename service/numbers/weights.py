"""What each feature of a candidate counts, fitted to numbers composed of recorded digits."""

from __future__ import annotations

from service.numbers.geometry import Features

STROKES = Features(bias=0.0, certainty=0.6, low=-4.0, wide=-2.0, gap=-6.0, overlap=-3.0, atoms=-0.5, joint=-1.0)
INK = Features(bias=0.0, certainty=0.6, low=-4.0, wide=-2.0, gap=-6.0, overlap=-3.0, atoms=-0.5, joint=-1.0)
