"""PNG as browsers write a canvas and as the page writes its drawings, unpacked in under half of Pillow's time.

Three things make the difference. libdeflate inflates four times as fast as zlib. What a canvas shows is mostly paper:
with the Up filter every byte is its difference from the byte above, so a column without ink is all zeros, and only the
columns between are added up. And these are added up many rows at a time.

Whatever is unusual is left to Pillow: other depths and colours, interlacing, other filters, other chunks, and every
kind of damage. What is unpacked here is the same as there, to the last bit (`tests/service/test_png.py`).

Source: W3C, Portable Network Graphics (PNG) Specification, Third Edition; filters in section 9.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import deflate
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]
ToGrey = Callable[[Image.Image], Bytes]
"""From an image of any size to its (H, W) grey levels, each pixel by itself."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = struct.Struct(">8sI4sIIBBBBB")
"""Signature, and the first chunk up to its checksum."""
HEADER_START = SIGNATURE + b"\0\0\0\rIHDR"
CHUNK = struct.Struct(">I4s")
CHECKSUM = struct.Struct(">I")
COLOURS = {0: ("L", 1), 2: ("RGB", 3), 6: ("RGBA", 4)}
"""By PNG's colour type: Pillow's mode, and bytes a pixel."""
DEPTH = 8
ALPHA, OPAQUE = 3, 255
NONE, UP = 0, 2
"""Numbers of filters."""
STRIDE = 16
"""Rows added up at a time, each so many below the other: about the square root of a canvas's rows."""


class Header(NamedTuple):
    """What the first chunk says."""

    width: int
    height: int
    depth: int
    colour: int
    compression: int
    filtering: int
    interlacing: int


def read_header(data: bytes) -> Header | None:
    """Read the beginning of a PNG; None where it is none."""
    if len(data) < HEADER.size or not data.startswith(HEADER_START):
        return None
    return Header(*HEADER.unpack_from(data)[3:])


def unpack_png(data: bytes, max_pixels: int, to_grey: ToGrey) -> Bytes | None:
    """Decode to (H, W) grey levels; None for what is left to Pillow, images of more than `max_pixels` among it."""
    header = read_header(data)
    if header is None or header.colour not in COLOURS or header[2:] != (DEPTH, header.colour, 0, 0, 0):
        return None
    if not 0 < header.width * header.height <= max_pixels:
        return None
    mode, pixel_bytes = COLOURS[header.colour]
    rows = inflate_rows(data, header.height, 1 + header.width * pixel_bytes)
    if rows is None:
        return None
    filters, pixels = rows[:, 0], rows[:, 1:].reshape(header.height, header.width, pixel_bytes)
    if not filters.any():
        return as_grey(pixels, mode, to_grey)
    if filters[0] in (NONE, UP) and (filters[1:] == UP).all():
        return add_up_columns(pixels, mode, to_grey)
    return None


def inflate_rows(data: bytes, height: int, row_bytes: int) -> Bytes | None:
    """Inflate to (height, row_bytes), never to more; None where the chunks are unusual or anything is damaged."""
    compressed = join_image_data(data)
    if compressed is None:
        return None
    try:
        raw = deflate.zlib_decompress(compressed, height * row_bytes)
    except deflate.DeflateError:
        return None
    return np.frombuffer(raw, np.uint8).reshape(height, row_bytes) if len(raw) == height * row_bytes else None


def join_image_data(data: bytes) -> bytes | None:
    """Join the IDAT chunks; None where there are others than IHDR, IDAT and IEND, or a checksum is wrong."""
    view, parts, at = memoryview(data), [], len(SIGNATURE)
    while at + CHUNK.size <= len(data):
        length, kind = CHUNK.unpack_from(data, at)
        end = at + CHUNK.size + length
        if end + CHECKSUM.size > len(data):
            return None
        if CHECKSUM.unpack_from(data, end)[0] != deflate.crc32(view[at + 4 : end]):
            return None
        if kind == b"IDAT":
            parts.append(view[at + CHUNK.size : end])
        elif kind == b"IEND":
            return b"".join(parts)
        elif at > len(SIGNATURE):
            return None
        at = end + CHECKSUM.size
    return None


def as_grey(pixels: Bytes, mode: str, to_grey: ToGrey) -> Bytes:
    """Give the (H, W) grey levels of (H, W, bytes a pixel)."""
    height, width, pixel_bytes = pixels.shape
    packed = np.ascontiguousarray(pixels)
    if pixel_bytes == 1:
        return packed[..., 0]
    return to_grey(Image.frombuffer(mode, (width, height), packed, "raw", mode, 0, 1))


def add_up_columns(differences: Bytes, mode: str, to_grey: ToGrey) -> Bytes:
    """Undo the Up filter on (H, W, bytes a pixel) and give (H, W) grey levels."""
    height, width, pixel_bytes = differences.shape
    paper = differences[0]
    changes = np.bitwise_or.reduce(differences[1:], axis=0)
    if mode == "RGBA" and not changes[:, ALPHA].any() and (paper[:, ALPHA] == OPAQUE).all():
        mode = "RGBX"
    changing = np.flatnonzero(changes.any(axis=1))
    is_plain = (paper == paper[0]).all()
    first, last = (int(changing[0]), int(changing[-1]) + 1) if is_plain and len(changing) else (0, width)
    # Rows lie in another order in `sums`, which is all the same to a conversion of single pixels.
    sums = add_up_rows(differences[:, first:last].reshape(height, -1))
    levels = as_grey(sums.reshape(-1, last - first, pixel_bytes), mode, to_grey)
    grey = np.full((height, width), levels[0, 0])
    in_order = levels.reshape(STRIDE, -1, last - first).swapaxes(0, 1).reshape(-1, last - first)
    grey[:, first:last] = in_order[:height]
    return grey


def add_up_rows(differences: Bytes) -> Bytes:
    """Sum (H, W) bytes down the columns, modulo 256.

    Gives (STRIDE, blocks, W): row i of block j is row i + j * STRIDE of the sums; the last block is filled up.
    NumPy's own `add.accumulate` takes four times as long, since it goes down one column after another.
    """
    height, width = differences.shape
    full, rest = divmod(height, STRIDE)
    sums = np.zeros((STRIDE, full + (rest > 0), width), np.uint8)
    sums[:, :full] = differences[: full * STRIDE].reshape(full, STRIDE, width).swapaxes(0, 1)
    sums[:rest, full:] = differences[full * STRIDE :, np.newaxis]
    for row in range(1, STRIDE):
        sums[row] += sums[row - 1]
    ends = sums[-1]
    for block in range(1, len(ends)):
        ends[block] += ends[block - 1]
    sums[:-1, 1:] += ends[:-1]
    return sums
