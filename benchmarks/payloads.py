"""Requests as programs send them."""

from __future__ import annotations

import functools
import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from PIL import Image, ImageDraw

from benchmarks.client import post
from service.preprocessing import Tensor, prepare_image

JSON = "application/json"

STROKES: dict[str, list[tuple[int, int]]] = {
    "one": [(110, 90), (150, 60), (150, 220)],
    "four": [(160, 230), (160, 60), (80, 170), (200, 170)],
    "seven": [(80, 70), (200, 70), (130, 220)],
}
"""On a canvas of 280 x 280."""


def drawings() -> list[Image.Image]:
    """Draw digits as the canvas would: white round strokes of 20 pixels on almost black."""
    return [draw(points) for points in STROKES.values()]


def draw(points: list[tuple[int, int]]) -> Image.Image:
    """Draw one stroke."""
    image = Image.new("L", (280, 280), 10)
    ImageDraw.Draw(image).line(points, fill=255, width=20, joint="curve")
    return image


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    """Encode an image."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@functools.cache
def tensors() -> tuple[Tensor, ...]:
    """Prepare the drawings: (28, 28, 1) float32 each."""
    return tuple(prepare_image(encode(image)).tensor for image in drawings())


def predict_requests() -> list[bytes]:
    """What a program sends: the drawings as data URLs in JSON."""
    return [predict_request(encode(image)) for image in drawings()]


def predict_request(png: bytes) -> bytes:
    """Write a request with a PNG as a data URL."""
    return post("/predict", JSON, predict_body(png))


def predict_body(png: bytes) -> bytes:
    """Write the JSON of such a request."""
    return msgspec.json.encode({"image": f"data:image/png;base64,{b64encode(png).decode()}"})


def infer_requests(name: str = "digits") -> list[bytes]:
    """What a program sends: one prepared tensor to `/v2`, in binary."""
    return [infer_request(name, tensor.tobytes()) for tensor in tensors()]


def infer_request(name: str, raw: bytes, images: int = 1, outputs: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """Write an inference request with one binary tensor of prepared images; without outputs, for all in JSON."""
    described = {
        "name": "image",
        "shape": [images, 28, 28, 1],
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(raw)},
    }
    header = msgspec.json.encode({"inputs": [described], **({"outputs": outputs} if outputs else {})})
    return post(
        f"/v2/models/{name}/infer",
        "application/octet-stream",
        header + raw,
        f"Inference-Header-Content-Length: {len(header)}",
    )


def mixed_requests() -> list[bytes]:
    """Both kinds, in turn."""
    return [request for pair in zip(predict_requests(), infer_requests(), strict=True) for request in pair]
