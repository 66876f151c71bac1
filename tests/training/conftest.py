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


def write_recording(path: Path) -> None:
    """Ten slanted bars by each of four writers, two of whom the recipes hold out."""
    segments = []
    for writer in (1, 2, 5, 10):
        for label in range(10):
            points = "\n".join(f" {150 + writer + 4 * label * step} {400 - 30 * step}" for step in range(8))
            segments.append(
                f'.SEGMENT DIGIT 0 ? "{label}"\n.COMMENT {label} {writer} 1\n.PEN_DOWN\n{points}\n.PEN_UP\n.DT 100\n'
            )
    path.write_text("\n".join(segments))


def write_mnist(folder: Path) -> Path:
    """Fill a folder with 320 + 40 bars in MNIST's files."""
    mnist = folder / "mnist"
    mnist.mkdir(parents=True)
    for prefix, count in (("train", 320), ("t10k", 40)):
        labels = np.arange(count) % 10
        write_idx(mnist / f"{prefix}-images-idx3-ubyte.gz", paint_bars(labels))
        write_idx(mnist / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return folder


def add_strokes(folder: Path) -> Path:
    """Put pen strokes beside the bars."""
    (folder / "pendigits").mkdir()
    write_recording(folder / "pendigits" / "pendigits-orig.tra")
    return folder


@pytest.fixture
def tiny_data(tiny_mnist: Path) -> Path:
    """The same folder with pen strokes."""
    return add_strokes(tiny_mnist)


@pytest.fixture
def tiny_mnist(tmp_path: Path) -> Path:
    """A folder with 320 + 40 bars in MNIST's files."""
    return write_mnist(tmp_path / "data")


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bars and pen strokes that no test changes."""
    return add_strokes(write_mnist(tmp_path_factory.mktemp("shared") / "data"))
