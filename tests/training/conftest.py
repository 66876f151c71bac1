"""Tiny data sets of our own making, so that the tests of training need no downloads."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    with gzip.open(path, "wb") as file:
        file.write(header + array.astype(np.uint8).tobytes())


def paint_bars(labels: np.ndarray) -> np.ndarray:
    """Ten kinds of bars that a network can tell apart: wider for higher labels, with a stub below."""
    images = np.zeros((len(labels), 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[6:10, 4 : 6 + 2 * label] = 255
        image[6:22, 4:7] = 200
    return images


@pytest.fixture
def tiny_mnist(tmp_path: Path) -> Path:
    """A folder with 320 + 40 bars in MNIST's files."""
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for prefix, count in (("train", 320), ("t10k", 40)):
        labels = np.arange(count) % 10
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", paint_bars(labels))
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return folder.parent
