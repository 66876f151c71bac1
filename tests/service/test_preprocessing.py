from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from scipy import ndimage

from service.contract import PreprocessingSpec
from service.errors import EmptyDrawing, ImageError, TooManyPixels, UndecodableImage
from service.preprocessing import (
    FORMATS,
    center_by_mass,
    center_of_mass,
    clear_paper,
    crop_to_ink,
    decode_image,
    prepare_grey,
    prepare_image,
    resize_to_fit,
    to_grey,
)

inked = arrays.arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60)), elements=st.integers(20, 255))


def padded(grey: np.ndarray, top: int, right: int, bottom: int, left: int, level: int = 0) -> np.ndarray:
    return np.pad(grey, ((top, bottom), (left, right)), constant_values=level)


@given(inked, *[st.integers(0, 80)] * 4, st.integers(0, 19))
def test_only_the_ink_counts_not_where_it_lies(ink, top, right, bottom, left, paper):
    expected = prepare_grey(padded(ink, 1, 1, 1, 1))
    moved = prepare_grey(padded(ink, top + 1, right + 1, bottom + 1, left + 1, paper))
    assert np.array_equal(moved.final, expected.final)
    assert np.array_equal(moved.tensor, expected.tensor)


@given(inked, st.integers(0, 200), st.integers(0, 200))
def test_sending_the_ink_with_a_margin_of_four_pixels_changes_no_bit(ink, x, y):
    canvas = padded(ink, y, 280 - x, 280 - y, x, 10)
    cropped = padded(ink, 4, 4, 4, 4, 10)
    assert np.array_equal(prepare_grey(canvas).tensor, prepare_grey(cropped).tensor)


@given(inked)
def test_the_tensor_is_what_the_model_was_promised(ink):
    prepared = prepare_grey(padded(ink, 1, 1, 1, 1))
    assert prepared.tensor.shape == (28, 28, 1)
    assert prepared.tensor.dtype == np.float32
    assert prepared.tensor.min() >= 0
    assert prepared.tensor.max() <= 1
    assert np.array_equal(prepared.tensor[..., 0], prepared.final.astype(np.float32) / np.float32(255))


@given(inked, st.integers(0, 80), st.integers(0, 80), st.integers(128, 255))
def test_dark_ink_on_light_paper_is_the_same_drawing_wherever_it_lies(ink, top, left, paper):
    """Light paper of any level; ink down to black; a crop to the ink and its margin of four pixels."""
    dark = (255 - ink).astype(np.uint8)
    canvas = prepared_or_nothing(padded(dark, top + 4, 90 - left, 90 - top, left + 4, paper))
    cropped = prepared_or_nothing(padded(dark, 4, 4, 4, 4, paper))
    assert np.array_equal(canvas, cropped)


def prepared_or_nothing(grey: np.ndarray) -> np.ndarray:
    try:
        return prepare_grey(grey).final
    except EmptyDrawing:
        return np.empty(0)


@given(inked)
def test_a_negative_gives_the_tensor_of_the_drawing(ink):
    canvas = padded(ink, 4, 4, 4, 4)
    assert np.array_equal(prepare_grey(255 - canvas).final, prepare_grey(canvas).final)


@given(inked, *[st.integers(1, 80)] * 4, st.integers(0, 19))
def test_light_ink_on_dark_paper_is_never_turned_over(ink, top, right, bottom, left, paper):
    canvas = padded(ink, top, right, bottom, left, paper)
    assert np.array_equal(prepare_grey(canvas).final, prepare_grey(canvas, PreprocessingSpec()).final)


@pytest.mark.parametrize("paper", [128, 200, 255])
def test_paper_that_is_not_white_vanishes_and_black_is_full_ink(paper):
    grey = np.full((60, 60), paper, np.uint8)
    grey[1:4] -= paper // 15
    grey[20:50, 25:30] = 0
    crop = prepare_grey(grey).crop
    assert crop.shape == (30, 5)
    assert crop.min() == 255


def test_an_upright_stroke_cropped_without_a_margin_stays_ink():
    disk = np.hypot(*np.mgrid[-10:10, -10:10] + 0.5) < 10
    stroke = np.concatenate([disk[:10], np.ones((160, 20), bool), disk[10:]]) * np.uint8(255)
    assert np.array_equal(prepare_grey(stroke).final, prepare_grey(padded(stroke, 4, 4, 4, 4)).final)


def test_a_thumb_in_one_corner_of_a_photograph_changes_nothing():
    grey = np.full((60, 60), 230, np.uint8)
    grey[20:50, 25:30] = 10
    grey[50:, :8] = 60
    assert prepare_grey(grey).crop.shape == (40, 30)


def test_blank_white_paper_is_an_empty_drawing():
    with pytest.raises(EmptyDrawing, match="no ink"):
        prepare_grey(np.full((280, 280), 250, np.uint8))


def test_old_models_keep_their_light_on_dark():
    grey = np.full((60, 60), 255, np.uint8)
    grey[20:50, 25:30] = 0
    assert prepare_grey(grey, PreprocessingSpec()).crop.shape == (60, 60)


@given(st.binary(max_size=400))
def test_any_bytes_get_an_answer_or_a_clear_error(data):
    with pytest.raises(UndecodableImage):
        decode_image(data)


@given(st.data())
def test_a_damaged_image_gets_an_answer_or_a_clear_error(data):
    kind = data.draw(st.sampled_from(FORMATS))
    whole = bytearray(ENCODED[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(whole)))
    with contextlib.suppress(ImageError):
        assert prepare_image(bytes(whole[:end])).tensor.shape == (28, 28, 1)


def encoded_square(kind: str) -> bytes:
    import io

    image = Image.new("RGB", (60, 60))
    image.paste((255, 255, 255), (20, 10, 35, 50))
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


ENCODED = {kind: encoded_square(kind) for kind in FORMATS}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read(kind):
    crop = prepare_image(ENCODED[kind]).crop
    assert crop.shape[0] == pytest.approx(40, abs=2)
    assert crop.shape[1] == pytest.approx(15, abs=2)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_of_png_gives_the_same_grey_levels(mode, encode):
    image = Image.new("L", (40, 40))
    image.paste(255, (10, 5, 22, 31))
    assert np.array_equal(decode_image(encode(image.convert(mode))), np.asarray(image))


def test_sixteen_bit_greys_are_scaled_not_clipped(encode):
    levels = np.zeros((30, 30), np.uint16)
    levels[5:25, 10:20] = 0x8000
    assert decode_image(encode(Image.fromarray(levels))).max() == 0x80


def test_a_cmyk_jpeg_is_read(encode):
    image = Image.new("L", (40, 40))
    image.paste(255, (10, 5, 22, 31))
    assert prepare_image(encode(image.convert("CMYK"), "JPEG")).crop.shape == pytest.approx((26, 12), abs=4)


def test_colours_become_itu_r_601_luma(encode):
    image = Image.new("RGB", (1, 3))
    for y, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        image.putpixel((0, y), colour)
    assert decode_image(encode(image)).ravel().tolist() == [76, 150, 29]


def test_transparent_pixels_are_paper(encode):
    image = Image.new("RGBA", (40, 40), (255, 255, 255, 0))
    image.paste((255, 255, 255, 255), (10, 5, 22, 31))
    assert prepare_image(encode(image)).crop.shape == (26, 12)


rgba = arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(4)))


@given(rgba, st.booleans())
def test_colours_with_and_without_transparency_become_grey_as_by_the_long_way(pixels, opaque):
    """Over RGBA on black and then RGB, which takes two passes more."""
    pixels[..., 3] |= 255 * opaque
    image = Image.fromarray(pixels)
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    expected = np.asarray(Image.alpha_composite(black, image).convert("RGB").convert("L"))
    assert np.array_equal(to_grey(image), expected)


def test_a_photograph_is_turned_upright_as_its_exif_data_say(encode):
    image = Image.new("L", (40, 60))
    image.paste(255, (0, 0, 20, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = decode_image(encode(image, "JPEG", exif=exif, quality=95))
    assert upright.shape == (40, 60)
    assert upright[5, 50] > 200


def test_the_first_frame_of_an_animation_counts(encode):
    first, second = Image.new("L", (40, 40)), Image.new("L", (40, 40))
    first.paste(255, (10, 5, 22, 31))
    second.paste(255, (0, 0, 40, 40))
    data = encode(first, "GIF", save_all=True, append_images=[second])
    assert prepare_image(data).crop.shape == (26, 12)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_image_cut_in_half_is_refused(kind):
    with pytest.raises(UndecodableImage):
        decode_image(ENCODED[kind][: len(ENCODED[kind]) // 2])


@pytest.mark.parametrize(
    ("kind", "options", "begins", "ends"),
    [("JPEG", {"progressive": True}, b"\xff\xda", b"\xff\xd9"), ("PNG", {"icc_profile": b"\0" * 99}, b"iCCP", b"IDAT")],
)
def test_an_image_of_endless_parts_is_refused(encode, kind, options, begins, ends):
    """Each takes Pillow milliseconds, and 4 MiB have room for a hundred thousand."""
    data = encode(Image.fromarray(padded(np.full((9, 9), 255, np.uint8), 9, 9, 9, 9)), kind, **options)
    # A PNG's chunk begins and ends four bytes before its name and the next one's.
    before = 4 if kind == "PNG" else 0
    start, end = data.rindex(begins) - before, data.rindex(ends) - before
    assert decode_image(data).shape == (27, 27)
    with pytest.raises(UndecodableImage, match=r"20\d scans|20\d colour profiles"):
        decode_image(data[:start] + data[start:end] * 201 + data[end:])


def test_marks_of_scans_behind_a_photograph_are_no_scans(encode):
    film = np.random.default_rng(1).bytes(16 * 2**20)
    assert film.count(b"\xff\xda") > 200
    assert decode_image(encode(Image.new("L", (9, 9), 255), "JPEG") + film).shape == (9, 9)


def test_other_formats_are_refused(encode):
    with pytest.raises(UndecodableImage, match="PNG, JPEG, WEBP, BMP, GIF"):
        decode_image(encode(Image.new("L", (9, 9)), "TIFF"))


def png_claiming(width: int, height: int) -> bytes:
    """A small PNG whose header promises a huge image."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [2_001, 10_000, 30_000])
def test_a_decompression_bomb_is_refused_by_its_header(side):
    with pytest.raises(TooManyPixels, match=r"more than|larger than"):
        decode_image(png_claiming(side, side))


@pytest.mark.parametrize("level", [0, 10, 19])
def test_paper_alone_is_an_empty_drawing(level):
    with pytest.raises(EmptyDrawing, match="no ink"):
        prepare_grey(np.full((280, 280), level, np.uint8))


def test_ink_too_thin_to_survive_scaling_is_an_empty_drawing():
    grey = np.zeros((1500, 1500), np.uint8)
    grey[0, 0] = grey[-1, -1] = 20
    with pytest.raises(EmptyDrawing, match="too thin"):
        prepare_grey(grey)


@pytest.mark.parametrize("shape", [(1, 1), (1, 280), (280, 1), (2000, 3)])
def test_extreme_shapes_fill_the_box_and_stay_inside_the_frame(shape):
    final = prepare_grey(padded(np.full(shape, 255, np.uint8), 1, 1, 1, 1)).final
    rows, columns = np.nonzero(final)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20


@given(arrays.arrays(np.uint8, (8, 8)), st.integers(1, 255))
def test_every_threshold_clears_what_lies_below_it_and_nothing_else(grey, threshold):
    assert np.array_equal(clear_paper(grey, threshold), np.where(grey < threshold, 0, grey))


def test_levels_below_the_threshold_become_paper():
    assert clear_paper(np.array([[0, 19, 20, 255]], np.uint8), 20).tolist() == [[0, 0, 20, 255]]


def test_the_crop_is_the_tight_box_of_the_ink():
    grey = np.zeros((9, 9), np.uint8)
    grey[2, 3] = grey[5, 6] = 1
    assert crop_to_ink(grey).shape == (4, 4)


@pytest.mark.parametrize(
    ("shape", "expected"), [((40, 20), (20, 10)), ((10, 10), (20, 20)), ((7, 280), (1, 20)), ((280, 5), (20, 1))]
)
def test_the_longer_side_becomes_twenty_and_the_aspect_stays(shape, expected):
    assert resize_to_fit(np.full(shape, 255, np.uint8), 20).shape == expected


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_the_centre_of_mass_is_that_of_scipy_to_the_last_bit(grey):
    grey[0, -1] = max(grey[0, -1], 1)
    assert center_of_mass(grey) == ndimage.center_of_mass(grey)


def test_the_centre_of_mass_lies_on_pixel_fourteen():
    digit = np.full((21, 5), 255, np.uint8)
    rows, columns = np.nonzero(center_by_mass(digit, 28))
    assert (rows.mean(), columns.mean()) == (14, 14)


def test_a_lopsided_digit_is_clamped_to_the_frame():
    digit = np.zeros((20, 20), np.uint8)
    digit[0] = 255
    digit[-1, 0] = 1
    final = center_by_mass(digit, 28)
    assert np.flatnonzero(final.any(axis=1)).tolist() == [8, 27]


def test_the_spec_is_data_that_the_pipeline_obeys():
    square = np.full((30, 30), 25, np.uint8)
    with pytest.raises(EmptyDrawing):
        prepare_grey(square, PreprocessingSpec(ink_threshold=26))
    prepared = prepare_grey(square, PreprocessingSpec(fit_size=10, frame_size=12, divisor=100.0))
    assert prepared.tensor.shape == (12, 12, 1)
    assert np.count_nonzero(prepared.final) == 100
    assert prepared.tensor.max() == np.float32(0.25)


@pytest.mark.data
def test_mnist_passes_unchanged_but_for_faint_pixels(data_dir: Path):
    """The pipeline lays drawings out as MNIST is laid out, so MNIST itself is where it should be already."""
    images = read_idx_images(data_dir / "mnist/t10k-images-idx3-ubyte.gz")[:1000]
    unchanged = [np.array_equal(prepare_grey(image).final, clear_paper(image, 20)) for image in images]
    assert np.mean(unchanged) > 0.97


def read_idx_images(path: Path) -> np.ndarray:
    import gzip

    return np.frombuffer(gzip.decompress(path.read_bytes())[16:], np.uint8).reshape(-1, 28, 28)


def test_our_own_drawings_give_the_tensors_on_record(repo_root: Path):
    """A change of any step, or of a library below it, shows here before it shows in a model's answers."""
    recorded = np.load(repo_root / "tests/fixtures/finals.npz")
    for path in sorted((repo_root / "export/drawings").iterdir()):
        assert np.array_equal(prepare_image(path.read_bytes()).final, recorded[path.name]), path.name
