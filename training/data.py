"""Data sets to arrays: MNIST in the three forms that people have it in, and a download where they have none.

A damaged file ends in one line that names it; nothing is guessed from a file that is cut short.

Source: MNIST, Y. LeCun, C. Cortes, C. J. C. Burges; the CSV is Kaggle's `digit-recognizer`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
import sys
import zlib
from contextlib import redirect_stdout
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.contract import DatasetRecord
from service.files import DAMAGED_ARCHIVE
from service.preprocessing import DIGITS, prepare_grey, scale_levels
from training.errors import DataError
from training.lzw import unpack_compress
from training.quiet import import_tensorflow

Split = Literal["train", "test"]
Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

IDX_FILES: dict[str, tuple[str, ...]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "db8f937d487057fb14a9f0fbe97f0bc8d311ab41b750d41e1ff37c43b9e55e19",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
KAGGLE_FILE = "train.csv"
KAGGLE_TEST_SHARE = 6
"""Kaggle's own test file has no labels, so its last sixth of labelled rows serves as the test split."""
NPZ_FILE = "mnist.npz"
SIDE = 28
UNSIGNED_BYTE = 8
"""IDX's code for the type of MNIST's values."""


class Digits(NamedTuple):
    """Labelled images."""

    images: Pixels
    """(N, 28, 28) uint8, 0 = paper, 255 = ink."""
    labels: Labels
    """(N,) int64, 0 to 9."""


def load_mnist(data_dir: Path | None, split: Split) -> tuple[Digits, DatasetRecord]:
    """Read one split of MNIST and say where it came from.

    `data_dir` or its folder `mnist` holds the IDX files (gzipped or not), Kaggle's `train.csv`, or `mnist.npz`;
    None downloads the IDX files into the cache. Raises `DataError`.
    """
    files = find_mnist(data_dir if data_dir is not None else download_mnist(), split)
    digits = check_digits(read_mnist(files, split), files[0])
    return digits, DatasetRecord(
        name="MNIST",
        split=split,
        examples=len(digits.labels),
        sha256={path.name: hash_file(path) for path in files},
    )


def find_mnist(data_dir: Path, split: Split) -> tuple[Path, ...]:
    """Find the files of a split in `data_dir` or `data_dir/mnist`. Raises `DataError` where neither holds them.

    A form that a folder holds with both splits comes first: training images in one form may be test images in another.
    """
    places = [
        {each: find_all(folder, names) for each, names in form.items()}
        for folder in (data_dir, data_dir / "mnist")
        for form in (IDX_FILES, dict.fromkeys(IDX_FILES, (NPZ_FILE,)), dict.fromkeys(IDX_FILES, (KAGGLE_FILE,)))
    ]
    whole = [found for found in places if all(found.values())]
    for found in (*whole, *places):
        if found[split]:
            return found[split]
    raise DataError(
        f"{data_dir}: no MNIST {split} split here or in its folder mnist: expected {IDX_FILES[split][0]}.gz and "
        f"{IDX_FILES[split][1]}.gz, {NPZ_FILE} or Kaggle's {KAGGLE_FILE}; it is downloaded where no folder is given"
    )


def find_all(folder: Path, names: tuple[str, ...]) -> tuple[Path, ...]:
    """Find files, packed or not; none where one is missing."""
    found = [find_packed(folder, name) for name in names]
    return tuple(path for path in found if path) if all(found) else ()


def find_packed(folder: Path, name: str) -> Path | None:
    """Find a file, packed or not. Raises `DataError` where the folder may not be looked into."""
    try:
        return next((path for suffix in ("", ".gz", ".Z") if (path := folder / f"{name}{suffix}").is_file()), None)
    except PermissionError as error:
        raise DataError(
            f"{folder}: cannot be read ({error.strerror}): give yourself the right to, or move it"
        ) from error


def read_mnist(files: tuple[Path, ...], split: Split) -> Digits:
    """Read a split from its files, in whichever form they are."""
    match files:
        case (images, labels):
            return Digits(read_idx(images), read_idx(labels).astype(np.int64))
        case (path,) if path.name == NPZ_FILE:
            return read_npz(path, split)
        case (path,):
            return read_kaggle(path, split)
        case _:
            raise AssertionError(files)


def read_idx(path: Path) -> Pixels:
    """Read an IDX file of unsigned bytes. Raises `DataError`.

    Source: the format's description on MNIST's page.
    """
    content = read_unpacked(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != UNSIGNED_BYTE:
        raise DataError(f"{path}: not an IDX file of unsigned bytes: download it again")
    dimensions = content[3]
    body = 4 + 4 * dimensions
    shape = struct.unpack(f">{dimensions}I", content[4:body].ljust(4 * dimensions, b"\0"))
    if len(content) - body != math.prod(shape):
        found = max(0, len(content) - body)
        raise DataError(f"{path}: {found:,} bytes follow the header, which announces {shape}: download it again")
    return np.frombuffer(content, np.uint8, offset=body).reshape(shape)


def read_unpacked(path: Path) -> bytes:
    """Read a file, unpacked as its name says. Raises `DataError`."""
    unpack = {".gz": gzip.decompress, ".Z": unpack_compress}.get(path.suffix, bytes)
    try:
        return unpack(path.read_bytes())
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: damaged or cut short ({error}): download it again") from error


def read_npz(path: Path, split: Split) -> Digits:
    """Read a split of Keras's `mnist.npz`. Raises `DataError`."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Digits(arrays[f"x_{split}"].astype(np.uint8), arrays[f"y_{split}"].astype(np.int64))
    except DAMAGED_ARCHIVE as error:
        raise DataError(f"{path}: damaged, or without x_{split} and y_{split} ({error}): download it again") from error


def read_kaggle(path: Path, split: Split) -> Digits:
    """Read Kaggle's `train.csv`: a header, then a label and 784 pixels a row. Raises `DataError`."""
    _, _, body = read_unpacked(path).partition(b"\n")
    if not body.strip():
        raise DataError(f"{path}: holds no rows: download it again")
    try:
        rows = np.loadtxt(io.BytesIO(body), np.uint8, delimiter=",", ndmin=2)
        images = rows[:, 1:].reshape(-1, SIDE, SIDE)
    except ValueError as error:
        raise DataError(f"{path}: not 785 numbers from 0 to 255 in every row ({error}): download it again") from error
    digits = Digits(images, rows[:, 0].astype(np.int64))
    first_test_row = len(rows) - len(rows) // KAGGLE_TEST_SHARE
    return take(digits, slice(first_test_row) if split == "train" else slice(first_test_row, None))


def check_digits(digits: Digits, path: Path) -> Digits:
    """Pass on what makes sense as labelled 28x28 digits. Raises `DataError`."""
    images, labels = digits
    if images.shape != (len(labels), SIDE, SIDE) or not len(labels):
        raise DataError(
            f"{path}: {len(labels):,} labels for images of shape {images.shape}: expected one per 28x28 image"
        )
    if labels.min() < 0 or labels.max() > 9:
        raise DataError(f"{path}: labels from {labels.min()} to {labels.max()}: expected digits")
    return digits


def take(digits: Digits, rows: slice | NDArray[np.int64]) -> Digits:
    """Select examples."""
    return Digits(digits.images[rows], digits.labels[rows])


def prepare_digits(images: Pixels) -> Pixels:
    """Lay images out as the service does: (N, 28, 28) uint8 in and out."""
    return np.array([prepare_grey(image).final for image in images], np.uint8).reshape(-1, SIDE, SIDE)


def tensor_from_images(images: Pixels) -> NDArray[np.float32]:
    """Grey levels to the model's input: (N, 28, 28) uint8 to (N, 28, 28, 1) float32 in [0, 1]."""
    return scale_levels(images, DIGITS.divisor)


def split_rows(count: int, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Shuffle row numbers, and split off a share for validation: the rest first."""
    order = np.random.default_rng(seed).permutation(count)
    held_out = round(share * count)
    return order[held_out:], order[:held_out]


def download_mnist(url: str = MNIST_URL, cache_dir: Path | None = None) -> Path:
    """Fetch the IDX files into the cache, `~/.keras/datasets/mnist` by default, where they are not yet there.

    Raises `DataError` where a file cannot be fetched or is not, bit for bit, the one expected.
    """
    for name, sha256 in MNIST_SHA256.items():
        path = download(url + name, sha256, "mnist", cache_dir)
    return path.parent


def download(url: str, sha256: str | None, folder: str, cache_dir: Path | None) -> Path:
    """Fetch one file into a folder of the cache, and check its hash where one is given. Raises `DataError`."""
    import_tensorflow()
    from keras.utils import get_file

    try:
        # It tells of its progress, and standard output is for the figures.
        with redirect_stdout(sys.stderr):
            path = get_file(
                origin=url,
                file_hash=sha256,
                hash_algorithm="sha256",
                cache_subdir=f"datasets/{folder}",
                cache_dir=cache_dir,
            )
    except Exception as error:
        # get_file raises bare Exception where the network fails.
        raise DataError(
            f"{url}: cannot be downloaded ({error}): fetch it by other means and name its folder with --data-dir"
        ) from error
    return Path(path)


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
