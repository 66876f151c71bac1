"""What `service.png` unpacks is what Pillow decodes; what it leaves to Pillow it leaves whole."""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from service.errors import ImageError, TooManyPixels
from service.png import COLOURS, SIGNATURE, read_header, unpack_png
from service.preprocessing import MAX_PIXELS, decode_any, decode_image, to_grey

MODES = {mode: (colour, size) for colour, (mode, size) in COLOURS.items()}
NO_FILTER, UP_FILTER = 0, 2


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(pixels: np.ndarray, mode: str, filters: list[int], parts: int = 1, extra: bytes = b"") -> bytes:
    """Write (H, W, bytes) pixels, each row with a filter of its own, none or Up."""
    height, width, _ = pixels.shape
    flat = pixels.reshape(height, -1)
    above = np.concatenate([np.zeros_like(flat[:1]), flat[:-1]])
    rows = [
        bytes([kind]) + (row - before if kind == UP_FILTER else row).astype(np.uint8).tobytes()
        for kind, row, before in zip(filters, flat, above, strict=True)
    ]
    data = zlib.compress(b"".join(rows))
    cuts = np.linspace(0, len(data), parts + 1).astype(int)
    image_data = b"".join(chunk(b"IDAT", data[a:b]) for a, b in itertools.pairwise(cuts))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, MODES[mode][0], 0, 0, 0))
    return SIGNATURE + header + extra + image_data + chunk(b"IEND", b"")


def unpacked(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray | None:
    return unpack_png(data, max_pixels, to_grey)


def drawing(mode: str, height: int = 40, width: int = 30) -> np.ndarray:
    """Ink on plain, opaque paper, away from the border."""
    pixels = np.full((height, width, 4), (10, 10, 15, 255), np.uint8)
    pixels[10:30, 8:20, :3] = np.random.default_rng(1).integers(0, 256, (20, 12, 3))
    return pixels[..., : MODES[mode][1]]


@st.composite
def pictures(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    """Any pixels, or some on plain paper, as a canvas has them."""
    mode = draw(st.sampled_from(sorted(MODES)))
    shape = (draw(st.integers(1, 50)), draw(st.integers(1, 50)), MODES[mode][1])
    pixels = draw(arrays.arrays(np.uint8, shape))
    if draw(st.booleans()):
        top, left = draw(st.integers(0, 49)), draw(st.integers(0, 49))
        paper = np.zeros(shape, np.uint8) + draw(arrays.arrays(np.uint8, (1, 1, shape[2])))
        paper[top:, left:] = pixels[top:, left:]
        pixels = paper
    return mode, pixels


@given(pictures(), st.booleans(), st.booleans(), st.integers(1, 4))
def test_every_pixel_is_the_one_that_pillow_decodes(picture, filtered, first_too, parts):
    mode, pixels = picture
    filters = [UP_FILTER if filtered else NO_FILTER] * len(pixels)
    if not first_too:
        filters[0] = NO_FILTER
    data = png(pixels, mode, filters, parts)
    found = unpacked(data)
    assert found is not None
    assert found.dtype == np.uint8
    assert np.array_equal(found, decode_any(data))


@pytest.mark.parametrize("mode", sorted(MODES))
@pytest.mark.parametrize("height", [1, 2, 15, 16, 17, 280])
def test_ink_anywhere_on_plain_paper_is_put_back_where_it_was(mode, height):
    for column in (0, 7, 12):
        pixels = np.full((height, 13, MODES[mode][1]), 255, np.uint8)
        pixels[height // 2 :, column] = np.arange(height - height // 2, dtype=np.uint8)[:, np.newaxis]
        data = png(pixels, mode, [UP_FILTER] * height)
        assert np.array_equal(unpacked(data), decode_any(data))


@given(pictures(), st.data())
def test_other_filters_are_left_to_pillow(picture, data):
    mode, pixels = picture
    filters = data.draw(st.lists(st.sampled_from([NO_FILTER, UP_FILTER]), min_size=len(pixels), max_size=len(pixels)))
    encoded = png(pixels, mode, filters)
    is_read = not any(filters) or all(filters[1:])
    assert (unpacked(encoded) is not None) == is_read
    assert np.array_equal(decode_image(encoded), decode_any(encoded))


@pytest.mark.parametrize("mode", ["1", "P", "LA", "I;16", "RGB", "RGBA", "L"])
def test_what_pillow_writes_is_read_as_pillow_reads_it(mode):
    image = Image.fromarray(drawing("RGBA")).convert("L" if mode == "I;16" else mode)
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, "PNG")
    data = buffer.getvalue()
    assert np.array_equal(decode_image(data), decode_any(data))


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"tRNS", b"\0\x0a\0\x0a\0\x0f"),
        chunk(b"gAMA", struct.pack(">I", 45455)),
        chunk(b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0\0\0\0\0"),
    ],
    ids=["transparent colour", "gamma", "turned"],
)
def test_other_chunks_are_left_to_pillow(extra):
    data = png(drawing("RGB"), "RGB", [UP_FILTER] * 40, extra=extra)
    assert unpacked(data) is None
    assert np.array_equal(decode_image(data), decode_any(data))


def test_an_image_of_too_many_pixels_is_never_inflated():
    data = png(drawing("L"), "L", [UP_FILTER] * 40)
    assert unpacked(data, 40 * 30 - 1) is None
    with pytest.raises(TooManyPixels):
        decode_image(data, 40 * 30 - 1)


def test_data_for_more_rows_than_the_header_says_is_left_to_pillow():
    """The buffer is as large as the header says, so that a small file cannot fill the memory."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 1, 8, 0, 0, 0, 0))
    data = SIGNATURE + header + chunk(b"IDAT", zlib.compress(bytes(50_000_000))) + chunk(b"IEND", b"")
    assert unpacked(data) is None


def outcome(decode, data: bytes) -> bytes | type[Exception]:
    try:
        return decode(data).tobytes()
    except ImageError as error:
        return type(error)


@given(st.data())
def test_damage_is_told_as_pillow_tells_it(data):
    encoded = bytearray(png(drawing("RGBA"), "RGBA", [UP_FILTER] * 40, parts=2))
    if data.draw(st.booleans()):
        del encoded[data.draw(st.integers(0, len(encoded) - 1)) :]
    else:
        place = data.draw(st.integers(0, len(encoded) - 1))
        encoded[place] ^= data.draw(st.integers(1, 255))
    damaged = bytes(encoded)
    assert unpacked(damaged) is None
    assert outcome(decode_image, damaged) == outcome(decode_any, damaged)


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(40)])
def test_a_header_is_read_of_a_png_alone(data):
    assert read_header(data) is None
    assert unpacked(data) is None
