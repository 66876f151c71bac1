"""64 drawings of our own: as a canvas saves them, and as the page sends them.

Chromium makes them with the page's own modules, once. Where it is missing they are imitated: RGBA with the Up filter on
every row, as its encoder writes a canvas (seen with 156), and cropped grey, as the page does.
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import zlib
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image, ImageDraw

from benchmarks.payloads import encode
from service.preprocessing import DIGITS, GreyImage

ROOT = Path(__file__).resolve().parent.parent
STROKES = ROOT / "tests/fixtures/strokes/digits.json"
WEB = ROOT / "web"
SOURCES = (STROKES, Path(__file__), *(WEB / "js" / name for name in ("png.js", "render.js", "strokes.js")))
SMALLER = 0.8
CANVAS_SIZE = 280
CENTER = CANVAS_SIZE / 2
PEN_WIDTH = 20
PAPER_LEVEL = 11
"""Grey of the page's #0a0a0f."""
OVERSAMPLING = 4
MARGIN = 4
"""Pixels of paper that the page leaves around the ink."""
UP_FILTER = b"\x02"
RGBA = 6
CHROMIUMS = ("chromium-headless-shell", "chromium", "google-chrome")
"""The quickest first: the shell is the same browser without the parts around the page. `make browser` installs one."""
IMITATED = "an imitation of Chromium"
DRAW = """async (drawings) => {
  const { rasterFromDrawing, imageFromDrawing } = await import("/js/render.js");
  return Promise.all(drawings.map(async (strokes) => ({
    canvas: rasterFromDrawing({ strokes }).toDataURL("image/png"),
    page: Array.from(await imageFromDrawing({ strokes })),
  })));
}"""

Strokes = list[list[tuple[float, float]]]
"""Each stroke a list of x, y on the canvas."""


class Drawing(msgspec.Struct, frozen=True):
    """One drawing in both forms, as PNG."""

    digit: int
    canvas: bytes
    """280 x 280, RGBA."""
    page: bytes
    """Grey, cropped to the ink and a margin."""


class Drawings(msgspec.Struct, frozen=True):
    """All drawings, and who made the pictures."""

    encoder: str
    drawings: tuple[Drawing, ...]


class Digit(msgspec.Struct, frozen=True):
    """A recorded digit."""

    label: str
    strokes: Strokes


def cached_drawings(cache: Path) -> Path:
    """Make the drawings unless the cache has them, from the same strokes by the same page; give their file."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()[:16]
    file = cache / f"drawings-{digest}.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(msgspec.json.encode(make_drawings()))
    return file


def read_drawings(file: Path) -> Drawings:
    """Read what `cached_drawings` wrote."""
    return msgspec.json.decode(file.read_bytes(), type=Drawings)


def make_drawings() -> Drawings:
    """Draw every digit twice, in its own size and smaller."""
    digits = msgspec.json.decode(STROKES.read_bytes(), type=list[Digit])
    digits += [Digit(digit.label, shrink(digit.strokes)) for digit in digits]
    strokes = [digit.strokes for digit in digits]
    chromium = find_chromium()
    encoder, pairs = paint_in_chromium(chromium, strokes) if chromium else (IMITATED, list(map(imitate, strokes)))
    return Drawings(encoder, tuple(Drawing(int(digit.label), *pair) for digit, pair in zip(digits, pairs, strict=True)))


def find_chromium() -> str | None:
    """Find an installed Chromium."""
    return next(filter(None, map(shutil.which, CHROMIUMS)), None)


def shrink(strokes: Strokes) -> Strokes:
    """Scale towards the middle of the canvas."""
    return [[(toward_center(x), toward_center(y)) for x, y in stroke] for stroke in strokes]


def toward_center(position: float) -> float:
    """Scale one coordinate."""
    return CENTER + SMALLER * (position - CENTER)


def paint_in_chromium(executable: str, drawings: Sequence[Strokes]) -> tuple[str, list[tuple[bytes, bytes]]]:
    """Let the page's modules paint and encode."""
    from playwright.sync_api import Route, sync_playwright

    def answer(route: Route) -> None:
        path = WEB / route.request.url.partition("//")[2].partition("/")[2]
        if path.suffix == ".js":
            route.fulfill(body=path.read_bytes(), content_type="text/javascript")
        else:
            route.fulfill(body="<!doctype html>", content_type="text/html")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        tab.route("**/*", answer)
        tab.goto("http://page.test/")
        painted: list[dict[str, Any]] = tab.evaluate(DRAW, drawings)
        name = f"Chromium {browser.version}"
        browser.close()
    return name, [(bytes_of(pictures["canvas"]), bytes(pictures["page"])) for pictures in painted]


def bytes_of(data_url: str) -> bytes:
    """Decode a data URL."""
    return b64decode(data_url.partition(",")[2])


def imitate(strokes: Strokes) -> tuple[bytes, bytes]:
    """Paint and encode without a browser: the canvas and what the page sends."""
    grey = paint(strokes)
    return encode_canvas(grey), encode(Image.fromarray(crop_with_margin(grey)))


def paint(strokes: Strokes) -> GreyImage:
    """Draw with a round white pen on the page's paper; smooth edges by drawing larger and averaging."""
    large = Image.new("L", (OVERSAMPLING * CANVAS_SIZE, OVERSAMPLING * CANVAS_SIZE), PAPER_LEVEL)
    pen = ImageDraw.Draw(large)
    for stroke in strokes:
        points = [(OVERSAMPLING * x, OVERSAMPLING * y) for x, y in stroke]
        pen.line(points, fill=255, width=OVERSAMPLING * PEN_WIDTH, joint="curve")
        for point in (points[0], points[-1]):
            pen.circle(point, OVERSAMPLING * PEN_WIDTH / 2, fill=255)
    return np.asarray(large.reduce(OVERSAMPLING))


def crop_with_margin(grey: GreyImage) -> GreyImage:
    """Cut to the ink and its margin."""
    rows, columns = (np.flatnonzero((grey >= DIGITS.ink_threshold).any(axis=axis)) for axis in (1, 0))
    return grey[
        max(rows[0] - MARGIN, 0) : rows[-1] + MARGIN + 1, max(columns[0] - MARGIN, 0) : columns[-1] + MARGIN + 1
    ]


def encode_canvas(grey: GreyImage) -> bytes:
    """Encode (H, W) grey levels as Chromium does a canvas: opaque 8-bit RGBA, each row less the one above, quickly."""
    height, width = grey.shape
    pixels = np.dstack([grey, grey, grey, np.full_like(grey, 255)]).reshape(height, -1)
    differences = np.diff(pixels, axis=0, prepend=np.zeros((1, 4 * width), np.uint8))
    rows = b"".join(UP_FILTER + row.tobytes() for row in differences)
    header = struct.pack(">IIBBBBB", width, height, 8, RGBA, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Frame a chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
