"""Pixels to tensor: the one pipeline that training, parity, the service and the tests share.

It lays a drawing out as MNIST's images are laid out: light ink on dark paper, the ink's box scaled to 20x20, its
centre of mass on pixel 14 of 28. Only the ink and its place relative to itself count, so moving the ink, or cropping
an image to it and a margin of a pixel, does not change the result by a single bit.

Source: the normalisation described on MNIST's page, Y. LeCun, C. Cortes, C. J. C. Burges.
"""

from __future__ import annotations

import io
import struct
import zlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Pillow knows the other formats before it opens its first image. Where one is missing it imports all forty of its
# codecs, which takes as long as checking a model.
from PIL import (
    Image,
    ImageOps,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from service.contract import PreprocessingSpec
from service.errors import EmptyDrawing, TooManyPixels, UndecodableImage
from service.png import SIGNATURE, unpack_png

GreyImage = NDArray[np.uint8]
Tensor = NDArray[np.float32]

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MAX_PIXELS = 4_000_000
"""Default cap. A canvas has 78,400 pixels; a phone's photograph wants to be scaled down before it is sent."""

JPEG = b"\xff\xd8\xff"
SCAN = b"\xff\xda"
MOST_SCANS = 200
"""In a JPEG. Each goes over the whole image, and some of 40 bytes each kept a thread busy for minutes; a progressive
JPEG has ten to twenty."""
BYTES_BY_CHANCE = 32 * 1024
"""For each so many bytes, one more: half as many as there are, `SCAN` is there by chance, as in the film behind a
phone's photograph."""
PROFILE = b"iCCP"
"""How a PNG's chunk with a colour profile is called."""
MOST_PROFILES = 2
"""In a PNG, which has one. A kilobyte unpacks to a megabyte."""

DIGITS = PreprocessingSpec(polarity="auto")
LIGHT = 127
"""The highest level that is dark."""
TOO_FAINT = "the ink is too thin or too faint to survive scaling: draw with a wider pen"
OPAQUE = 255

# Pillow has no single type for "cannot be read": each codec raises what its author chose.
DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError,
    RuntimeError, struct.error, zlib.error,
)  # fmt: skip


class PreparedDigit(NamedTuple):
    """What the pipeline makes of one drawing."""

    crop: GreyImage
    """(H, W): the ink's bounding box, paper 0."""
    final: GreyImage
    """(28, 28): what the model sees, before the division."""
    tensor: Tensor
    """(28, 28, 1) float32 in [0, 1], 0 = paper, 1 = ink."""


def prepare_image(data: bytes, spec: PreprocessingSpec = DIGITS, max_pixels: int = MAX_PIXELS) -> PreparedDigit:
    """Take an encoded image to the model's input.

    Raises `UndecodableImage`, `TooManyPixels` or `EmptyDrawing`.
    """
    return prepare_grey(decode_image(data, max_pixels), spec)


def prepare_grey(grey: GreyImage, spec: PreprocessingSpec = DIGITS) -> PreparedDigit:
    """Take (H, W) grey levels to the model's input. Raises `EmptyDrawing`."""
    crop = crop_to_ink(clear_paper(lighten_ink(grey, spec), spec.ink_threshold))
    final = center_by_mass(resize_to_fit(crop, spec.fit_size), spec.frame_size)
    return PreparedDigit(crop, final, scale_levels(final, spec.divisor))


def decode_image(data: bytes, max_pixels: int = MAX_PIXELS) -> GreyImage:
    """Decode an image to (H, W) ITU-R 601 grey levels, transparency laid on black, first frame of an animation.

    Raises `UndecodableImage` or `TooManyPixels`; the latter before any pixel is decoded.
    """
    unpacked = unpack_png(data, max_pixels, to_grey)
    return decode_any(data, max_pixels) if unpacked is None else unpacked


def decode_any(data: bytes, max_pixels: int = MAX_PIXELS) -> GreyImage:
    """Decode with Pillow, which reads every format. Raises as `decode_image` does."""
    refuse_many_parts(data)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            refuse_large(image, max_pixels)
            image.load()
            return to_grey(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels(f"the image is larger than the {max_pixels:,} pixels accepted") from error
    except UnidentifiedImageError as error:
        raise UndecodableImage(f"not an image in a format read here ({', '.join(FORMATS)})") from error
    except DECODER_ERRORS as error:
        raise UndecodableImage("the image is damaged or incomplete") from error


def refuse_many_parts(data: bytes) -> None:
    """Count what takes milliseconds however few bytes it has. Raises `UndecodableImage`."""
    if data.startswith(JPEG) and (scans := data.count(SCAN)) > (most := MOST_SCANS + len(data) // BYTES_BY_CHANCE):
        raise UndecodableImage(f"the JPEG has {scans} scans, at most {most} are read: save it as a baseline JPEG")
    if data.startswith(SIGNATURE) and (profiles := data.count(PROFILE)) > MOST_PROFILES:
        raise UndecodableImage(f"the PNG has {profiles} colour profiles, at most {MOST_PROFILES} are read")


def refuse_large(image: Image.Image, max_pixels: int) -> None:
    """Compare the size in the header with the cap. Raises `TooManyPixels`."""
    if image.width * image.height > max_pixels:
        raise TooManyPixels(
            f"the image has {image.width} x {image.height} pixels, more than the {max_pixels:,} accepted"
        )


def to_grey(image: Image.Image) -> GreyImage:
    """Convert any mode to grey levels, upright as its EXIF data say."""
    if "exif" in image.info:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        # Pillow clips 16-bit greys to 255 instead of scaling them.
        return (np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8)
    if image.has_transparency_data:
        image = flatten_alpha(image if image.mode == "RGBA" else image.convert("RGBA"))
    elif image.mode not in ("L", "RGB", "RGBX"):
        image = image.convert("RGB")
    return np.asarray(image.convert("L"))


def flatten_alpha(image: Image.Image) -> Image.Image:
    """Lay an RGBA image on black, which is what the canvas is made of; what is opaque stays as it is."""
    if np.asarray(image.getchannel("A")).min() == OPAQUE:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, OPAQUE)), image)


def lighten_ink(grey: GreyImage, spec: PreprocessingSpec) -> GreyImage:
    """Turn dark ink on light paper into light ink on paper of level 0, where the spec asks for it; else change nothing.

    Light falls on paper and ink alike, so what counts is how much darker than the paper a pixel is, as a share:
    paper becomes 0 whatever its level, and what is lighter still, too; black becomes 255.
    """
    if spec.polarity == "light_on_dark" or not has_light_corners(grey):
        return grey
    paper = np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    if paper <= LIGHT:
        return grey
    darkness = (paper - np.arange(256)) * (255 / paper)
    return np.take(darkness.clip(0).round().astype(np.uint8), grey)


def has_light_corners(grey: GreyImage) -> bool:
    """Say whether at least three of the four corners are light.

    Light ink on dark paper that is cropped without a margin can lie along most of the border, as an upright 1 does,
    but its round ends leave corners dark. So the border's median does not decide alone, and for a drawing of the page
    it is not even looked at. An image that is light all over is blank paper.
    """
    corners = (grey.item(0, 0), grey.item(0, -1), grey.item(-1, 0), grey.item(-1, -1))
    return sorted(corners)[1] > LIGHT


def clear_paper(grey: GreyImage, ink_threshold: int) -> GreyImage:
    """Set every level below the threshold to 0."""
    return grey * (grey >= ink_threshold)


def crop_to_ink(grey: GreyImage) -> GreyImage:
    """Cut to the tight bounding box of all levels above 0. Raises `EmptyDrawing` where there are none."""
    box = Image.fromarray(grey).getbbox()
    if box is None:
        raise EmptyDrawing("the image holds no ink that stands out from its ground")
    left, top, right, bottom = box
    return grey[top:bottom, left:right]


def resize_to_fit(crop: GreyImage, fit_size: int) -> GreyImage:
    """Scale so that the longer side is `fit_size`, keeping the aspect; no side becomes less than one pixel."""
    height, width = crop.shape
    scale = fit_size / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.LANCZOS))


def center_by_mass(digit: GreyImage, frame_size: int) -> GreyImage:
    """Place in a square frame, centre of mass on its middle, by whole pixels, clamped to the frame.

    Raises `EmptyDrawing` where scaling left nothing.
    """
    top, left = (
        min(max(round(frame_size / 2 - center), 0), frame_size - side)
        for center, side in zip(center_of_mass(digit), digit.shape, strict=True)
    )
    frame = np.zeros((frame_size, frame_size), np.uint8)
    frame[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return frame


def center_of_mass(digit: GreyImage) -> tuple[float, float]:
    """Give the mean row and column, weighted by level. Raises `EmptyDrawing` where every level is 0.

    The same to the last bit as `scipy.ndimage.center_of_mass`, whose import is a third of the server's time to start
    and whose package a third of its size (`python -m benchmarks footprint --install`).
    """
    height, width = digit.shape
    # Sums of whole numbers, so exact in whatever order they are added.
    (mass, columns), (rows, _) = (moments(height) @ digit.astype(np.float64) @ moments(width).T).tolist()
    if not mass:
        raise EmptyDrawing(TOO_FAINT)
    return rows / mass, columns / mass


@lru_cache
def moments(side: int) -> NDArray[np.float64]:
    """Give the weights (2, side) with which a sum is a mass, and a mass times its place."""
    return np.stack([np.ones(side), np.arange(side)])


def scale_levels(frame: GreyImage, divisor: float) -> Tensor:
    """Grey levels to (H, W, 1) float32."""
    return (frame.astype(np.float32) / np.float32(divisor))[..., np.newaxis]
