"""Requests that are almost right: images, tensors and their wrapping, each spoilt in a few places.

Case `number` of seed `seed` is always the same request, whatever ran before it.
"""

from __future__ import annotations

import functools
import gzip
import json
import random
import struct
import zlib
from base64 import b64encode
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from benchmarks.client import get, post
from benchmarks.payloads import JSON, drawings, encode, tensors

BINARY = "application/octet-stream"
HEADER_LENGTH = "Inference-Header-Content-Length"
MODELS = ("digits", "digits_image")
MOST_EDITS = 6
LONGEST_INSERTION = 64

FORMS = (
    ("PNG", "L"),
    ("PNG", "RGBA"),
    ("PNG", "P"),
    ("PNG", "1"),
    ("PNG", "I;16"),
    ("PNG", "LA"),
    ("JPEG", "RGB"),
    ("JPEG", "CMYK"),
    ("WEBP", "RGBA"),
    ("BMP", "RGB"),
    ("BMP", "P"),
    ("GIF", "P"),
    ("TIFF", "L"),
)
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
ENDLESS = "@endless@"
"""Stands for a number of more digits than Python would write, or read without being asked to."""
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 28, 2**31, 2**53, 2**63, 2**64, 2**70, 10**400, 0.5, -0.0, 1e-320, 1e308, 1e400,
    float("nan"), "", "1", "image", "x" * 1000, "\ud800", "\x00", "FP16", "INT64", "BOOL", "BYTES", [], [[]],
    {}, [1, [2]], ENDLESS, {"": None}, [0] * 50, "[" * 10_000, [1, -1, 28, 28], [0, 2**70], [2**33, 2**33],
)  # fmt: skip
COUNTS = ("0", "1", "-1", "+5", " 7", "1e3", "0x10", "99999999999999999999", "9" * 5000, "", "nan")
VERSIONS = ("1", "0", "-1", "1.0", "01", "latest", "%00", "..", "%F0%9F%98%80", "9" * 5000)
ENCODINGS = ("gzip", "deflate", "br", "identity", "GZIP", "gzip, gzip", "")
CONTENT_TYPES = ("image/png", "image/jpeg", "image/svg+xml", JSON, "text/plain", "multipart/form-data", "", "x/y; z")

Chance = random.Random


class Case(NamedTuple):
    """One request, and how to name it."""

    number: int
    kind: str
    request: bytes


def make_case(seed: int, number: int) -> Case:
    """Make a request."""
    chance = Chance(f"{seed}:{number}")
    kind = chance.choice(list(MAKERS))
    return Case(number, kind, MAKERS[kind](chance))


@functools.cache
def images() -> tuple[bytes, ...]:
    """Encode the drawings in every format and mode that the service reads, and one that it does not."""
    return tuple(encode(as_mode(image, mode), kind) for image in drawings() for kind, mode in FORMS)


def as_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert; Pillow makes 16-bit greys by way of 32-bit integers."""
    return image.convert("I").convert(mode) if mode == "I;16" else image.convert(mode)


def spoil(chance: Chance, content: bytes) -> bytes:
    """Edit bytes in a few places; one time in eight, in none."""
    spoilt = bytearray(content)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, MOST_EDITS))):
        chance.choice(EDITS)(chance, spoilt)
    return bytes(spoilt)


def spoil_bit(chance: Chance, content: bytearray) -> None:
    """Flip one bit."""
    if content:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def spoil_number(chance: Chance, content: bytearray) -> None:
    """Overwrite one, two or four bytes with a number that is often a border."""
    code, size = chance.choice(((">B", 1), (">H", 2), ("<H", 2), (">I", 4), ("<I", 4)))
    if len(content) >= size:
        number = chance.choice(NUMBERS) & ((1 << 8 * size) - 1)
        struct.pack_into(code, content, chance.randrange(len(content) - size + 1), number)


def spoil_head(chance: Chance, content: bytearray) -> None:
    """Overwrite a byte among the first sixty-four, where formats keep their sizes."""
    if content:
        content[chance.randrange(min(64, len(content)))] = chance.randrange(256)


def cut(chance: Chance, content: bytearray) -> None:
    """Delete a piece."""
    start, end = piece(chance, content)
    del content[start:end]


def cut_short(chance: Chance, content: bytearray) -> None:
    """Delete the end."""
    del content[chance.randrange(len(content) + 1) :]


def repeat(chance: Chance, content: bytearray) -> None:
    """Copy a piece to somewhere else."""
    start, end = piece(chance, content)
    at = chance.randrange(len(content) + 1)
    content[at:at] = content[start:end][:4096]


def insert(chance: Chance, content: bytearray) -> None:
    """Insert noise."""
    at = chance.randrange(len(content) + 1)
    content[at:at] = chance.randbytes(chance.randint(1, LONGEST_INSERTION))


def splice(chance: Chance, content: bytearray) -> None:
    """Go on with another image."""
    other = chance.choice(images())
    content[chance.randrange(len(content) + 1) :] = other[chance.randrange(len(other)) :]


def piece(chance: Chance, content: bytearray) -> tuple[int, int]:
    """Choose a piece."""
    start, end = sorted((chance.randrange(len(content) + 1), chance.randrange(len(content) + 1)))
    return start, end


EDITS: tuple[Callable[[Chance, bytearray], None], ...] = (
    spoil_bit, spoil_number, spoil_number, spoil_head, cut, cut_short, repeat, insert, splice,
)  # fmt: skip


def spoil_image(chance: Chance) -> bytes:
    """Spoil an image; of a PNG, half the time with checksums that are right again, so that the decoder goes on."""
    content = spoil(chance, chance.choice(images()))
    return mend_checksums(content) if chance.random() < 0.5 else content


def mend_checksums(content: bytes) -> bytes:
    """Correct the CRC of every chunk of a PNG, as far as its lengths lead."""
    mended, at = bytearray(content), 8
    while content.startswith(b"\x89PNG") and at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        end = at + 8 + length
        if end + 4 > len(content):
            break
        struct.pack_into(">I", mended, end, zlib.crc32(mended[at + 4 : end]))
        at = end + 4
    return bytes(mended)


def image_body(chance: Chance) -> bytes:
    """Send an image as the body of /predict."""
    debug = chance.choice(("", "", "?debug=1", "?debug=%FF&debug"))
    return post(f"/predict{debug}", chance.choice(CONTENT_TYPES), spoil_image(chance))


def image_json(chance: Chance) -> bytes:
    """Send an image in base64 in JSON, the image, the base64 or the JSON spoilt."""
    text = b64encode(spoil_image(chance)).decode()
    if chance.random() < 0.2:
        text = spoil(chance, text.encode()).decode("latin-1")
    document: Any = {"image": chance.choice(("", "data:image/png;base64,", "data:,")) + text, "debug": False}
    if chance.random() < 0.3:
        document = spoil_document(chance, document)
    body = write_json(document)
    return post("/predict", JSON, spoil(chance, body) if chance.random() < 0.2 else body)


def image_form(chance: Chance) -> bytes:
    """Send an image in a form."""
    head = (
        b'--edge\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    )
    body = head + spoil_image(chance) + b"\r\n--edge--\r\n"
    boundary = chance.choice(("edge", "edge", "edge", "other", "", "x" * 200))
    return post(
        "/predict",
        f"multipart/form-data; boundary={boundary}",
        spoil(chance, body) if chance.random() < 0.5 else body,
    )


def image_tensor(chance: Chance) -> bytes:
    """Send a batch of images as a BYTES tensor, or a single one as the whole body."""
    if chance.random() < 0.3:
        return infer(chance, "digits_image", spoil_image(chance), f"{HEADER_LENGTH}: 0")
    elements = [spoil_image(chance) for _ in range(chance.randint(1, 3))]
    raw = b"".join(struct.pack("<I", len(element)) + element for element in elements)
    return binary_request(chance, "digits_image", [len(elements)], "BYTES", raw)


def tensor_binary(chance: Chance) -> bytes:
    """Send a raw tensor: sizes, types, shapes or bits spoilt."""
    count = chance.choice((1, 1, 1, 2, 7))
    raw = np.concatenate([chance.choice(tensors()) for _ in range(count)]).tobytes()
    if chance.random() < 0.7:
        raw = spoil(chance, raw)
    if chance.random() < 0.1:
        return infer(chance, "digits", raw, f"{HEADER_LENGTH}: 0")
    return binary_request(chance, "digits", [count, 28, 28, 1], "FP32", raw)


def tensor_json(chance: Chance) -> bytes:
    """Send a tensor in JSON, any part of the document spoilt."""
    values = [round(float(value), 3) for value in chance.choice(tensors()).ravel()]
    document: Any = {
        "id": "1",
        "inputs": [{"name": "image", "shape": [1, 28, 28, 1], "datatype": "FP32", "data": values}],
        "outputs": [{"name": "probabilities", "parameters": {"classification": 3}}, {"name": "logits"}],
    }
    for _ in range(chance.randint(0, 3)):
        document = spoil_document(chance, document)
    body = write_json(document)
    return infer(chance, "digits", spoil(chance, body) if chance.random() < 0.2 else body)


def binary_request(chance: Chance, model: str, shape: list[int], datatype: str, raw: bytes) -> bytes:
    """Describe raw bytes in JSON, and lie a little."""
    parameters = {"binary_data_size": len(raw)}
    document: Any = {"inputs": [{"name": "image", "shape": shape, "datatype": datatype, "parameters": parameters}]}
    if chance.random() < 0.5:
        document = spoil_document(chance, document)
    header = write_json(document)
    length = chance.choice(COUNTS) if chance.random() < 0.1 else str(len(header))
    return infer(chance, model, header + raw, f"{HEADER_LENGTH}: {length}")


def infer(chance: Chance, model: str, body: bytes, *headers: str) -> bytes:
    """Post to a model, now and then to another, to some version, or compressed."""
    if chance.random() < 0.05:
        model = chance.choice((*MODELS, "nobody", "%00", "x" * 3000))
    if chance.random() < 0.1:
        model += f"/versions/{chance.choice(VERSIONS)}"
    if chance.random() < 0.15:
        body, encoding = compress(chance, body)
        headers = (*headers, f"Content-Encoding: {encoding}")
    return post(f"/v2/models/{model}/infer", BINARY, body, *headers)


def compress(chance: Chance, body: bytes) -> tuple[bytes, str]:
    """Compress, spoil, and say what it should be."""
    compressed = gzip.compress(body) if chance.random() < 0.5 else zlib.compress(body)
    return spoil(chance, compressed) if chance.random() < 0.5 else compressed, chance.choice(ENCODINGS)


def spoil_document(chance: Chance, document: Any) -> Any:
    """Replace one value, wherever it is, by one that is seldom right; or take one away, or add one."""
    if isinstance(document, dict) and document and chance.random() < 0.9:
        key = chance.choice(list(document))
        if chance.random() < 0.1:
            return {name: value for name, value in document.items() if name != key}
        return {**document, key: spoil_document(chance, document[key])}
    if isinstance(document, list) and document and chance.random() < 0.7:
        at = chance.randrange(len(document))
        return [*document[:at], spoil_document(chance, document[at]), *document[at + chance.choice((0, 1, 1, 1)) :]]
    return chance.choice(VALUES)


def write_json(document: Any) -> bytes:
    """Write a document, NaN and infinity as Python does."""
    return json.dumps(document).replace(json.dumps(ENDLESS), "9" * 5000).encode()


def other_paths(chance: Chance) -> bytes:
    """Ask for something else."""
    model, version = chance.choice((*MODELS, "nobody")), chance.choice(VERSIONS)
    paths = (f"/v2/models/{model}/versions/{version}", f"/v2/models/{model}/ready", f"/static/{version}", f"/{version}")
    if chance.random() < 0.5:
        return get(chance.choice(paths))
    body = write_json(spoil_document(chance, {"ready": True}))
    return post("/v2/repository/index", JSON, spoil(chance, body))


MAKERS: dict[str, Callable[[Chance], bytes]] = {
    "image as body": image_body,
    "image in JSON": image_json,
    "image in a form": image_form,
    "image as tensor": image_tensor,
    "tensor, binary": tensor_binary,
    "tensor, JSON": tensor_json,
    "other paths": other_paths,
}
