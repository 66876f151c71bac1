"""The Open Inference Protocol's way to write tensors: JSON, raw little-endian bytes, or both in one body.

Bytes in, NumPy arrays out, and back; no HTTP. Source: kserve/open-inference-protocol, inference_rest.md, with the
binary tensor data and classification extensions as documented by Triton Inference Server.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.contract import UNREADABLE_JSON
from service.errors import BodyTooLarge, InvalidTensor, UnsupportedEncoding

Array = NDArray[Any]

DTYPES = {
    "BOOL": np.dtype("?"),
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
    "BYTES": np.dtype(object),
}
GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
MAX_DIMENSIONS = 8
MAX_DIGITS = 20
MAX_ELEMENTS = 2**63 - 1

Parameters = dict[str, Any]


class InferTensor(msgspec.Struct, frozen=True):
    """An input as the client wrote it."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    parameters: Parameters = {}
    data: msgspec.Raw = msgspec.Raw()


class RequestedOutput(msgspec.Struct, frozen=True):
    """An output that the client asks for, and how."""

    name: str
    parameters: Parameters = {}


class InferRequest(msgspec.Struct, frozen=True):
    """The JSON part of a request."""

    inputs: tuple[InferTensor, ...]
    outputs: tuple[RequestedOutput, ...] = ()
    id: str = ""
    parameters: Parameters = {}


class Inference(NamedTuple):
    """A request, read and checked."""

    id: str
    inputs: dict[str, Array]
    outputs: tuple[RequestedOutput, ...]
    binary_by_default: bool


class EncodedResponse(NamedTuple):
    """A response body, and the length of its JSON part where raw tensors follow."""

    body: bytes
    header_length: int | None


decode_request = msgspec.json.Decoder(InferRequest).decode


def decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Undo a Content-Encoding, never past the limit. Raises `UnsupportedEncoding`, `BodyTooLarge`, `InvalidTensor`."""
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise UnsupportedEncoding(f"Content-Encoding is {encoding!r}, expected gzip, deflate or none")
    stream = zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        content = stream.decompress(body, max_bytes)
    except zlib.error as error:
        raise InvalidTensor(f"the body is not {encoding}: {error}") from error
    if stream.unconsumed_tail:
        raise BodyTooLarge(f"the body is larger than {max_bytes:,} bytes once decompressed")
    if not stream.eof or stream.unused_data:
        raise InvalidTensor(f"the {encoding} body is cut short, or followed by something else")
    return content


def parse_inference(body: bytes, header_length: str | None) -> Inference:
    """Read a request. Raises `InvalidTensor`."""
    length = parse_header_length(header_length, len(body))
    try:
        request = decode_request(body[:length])
    except UNREADABLE_JSON as error:
        raise InvalidTensor(f"the request's JSON: {error}") from error
    return Inference(
        request.id,
        read_tensors(request.inputs, memoryview(body)[length:]),
        request.outputs,
        request.parameters.get("binary_data_output") is True,
    )


def parse_header_length(value: str | None, body_length: int) -> int:
    """Read Inference-Header-Content-Length; without it the body is JSON from end to end. Raises `InvalidTensor`."""
    if value is None:
        return body_length
    # Python refuses to read numbers of thousands of digits.
    is_number = value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS
    if not (is_number and int(value) <= body_length):
        raise InvalidTensor(
            f"Inference-Header-Content-Length is {value[:20]!r}, expected a number up to the body's {body_length} bytes"
        )
    return int(value)


def read_tensors(tensors: Iterable[InferTensor], binary: memoryview) -> dict[str, Array]:
    """Read every input; raw ones lie one after another behind the JSON. Raises `InvalidTensor`."""
    arrays: dict[str, Array] = {}
    for tensor in tensors:
        if tensor.name in arrays:
            raise InvalidTensor(f"input {tensor.name!r} is given twice")
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            arrays[tensor.name] = read_json_tensor(tensor)
            continue
        if not isinstance(size, int) or not 0 <= size <= len(binary):
            raise InvalidTensor(f"input {tensor.name!r}: binary_data_size {size!r}, but {len(binary)} bytes are left")
        arrays[tensor.name] = read_binary_tensor(tensor, binary[:size])
        binary = binary[size:]
    if len(binary):
        raise InvalidTensor(f"{len(binary)} bytes follow the last tensor")
    return arrays


def element_count(tensor: InferTensor) -> int:
    """Multiply the shape out. Raises `InvalidTensor`."""
    is_shape = len(tensor.shape) <= MAX_DIMENSIONS and all(0 <= size <= MAX_ELEMENTS for size in tensor.shape)
    if not is_shape or (count := math.prod(tensor.shape)) > MAX_ELEMENTS:
        # Not said which, since Python refuses to write numbers of thousands of digits.
        raise InvalidTensor(
            f"input {tensor.name!r} has a shape that cannot be: expected up to {MAX_DIMENSIONS} sizes of 0 or more, "
            f"and no more than {MAX_ELEMENTS} elements"
        )
    return count


def dtype_of(tensor: InferTensor) -> np.dtype[Any]:
    """Look up a datatype. Raises `InvalidTensor`."""
    try:
        return DTYPES[tensor.datatype]
    except KeyError:
        raise InvalidTensor(
            f"input {tensor.name!r} has datatype {tensor.datatype!r}, expected one of {', '.join(DTYPES)}"
        ) from None


def read_json_tensor(tensor: InferTensor) -> Array:
    """Read `data`, nested or flat in row-major order. Raises `InvalidTensor`."""
    dtype, count = dtype_of(tensor), element_count(tensor)
    data = bytes(tensor.data)
    if not data:
        raise InvalidTensor(f"input {tensor.name!r} has neither data nor binary_data_size")
    # NumPy gives every element of an array of strings the room of the longest: a small body would take terabytes.
    if tensor.datatype != "BYTES" and b'"' in data:
        raise InvalidTensor(
            f"input {tensor.name!r}: data is no {tensor.datatype} tensor: expected an array of numbers, got strings"
        )
    try:
        values = msgspec.json.decode(data)
        array = as_bytes_array(values) if tensor.datatype == "BYTES" else as_numbers(values, dtype)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidTensor(f"input {tensor.name!r}: data is no {tensor.datatype} tensor: {error}") from error
    if array.size != count:
        raise InvalidTensor(
            f"input {tensor.name!r}: shape {list(tensor.shape)} has {count} elements, data has {array.size}"
        )
    return shaped(tensor, array)


def shaped(tensor: InferTensor, array: Array) -> Array:
    """Give an array of the right size its shape: where one size is 0, another may be absurd. Raises `InvalidTensor`."""
    try:
        return array.reshape(tensor.shape)
    except (ValueError, OverflowError) as error:
        raise InvalidTensor(f"input {tensor.name!r} has shape {list(tensor.shape)}: {error}") from error


def as_numbers(values: Any, dtype: np.dtype[Any]) -> Array:
    """Turn nested lists of numbers into an array. NumPy alone would also take 1.5 for the integer 1.

    Raises `TypeError`, and what NumPy raises.
    """
    kinds = "biuf" if dtype.kind == "f" else "biu"
    found = np.asarray(values)
    if (found.size and found.dtype.kind not in kinds) or found.ndim == 0:
        raise TypeError(f"expected an array of numbers, got {found.dtype.name}")
    return np.asarray(values, dtype)


def as_bytes_array(values: Any) -> Array:
    """Turn nested lists of strings into a flat array of bytes. Raises `TypeError`."""
    flat = np.asarray(values, object).ravel()
    if not all(isinstance(value, str) for value in flat):
        raise TypeError("expected strings")
    encoded = np.empty(flat.size, object)
    encoded[:] = [value.encode() for value in flat]
    return encoded


def read_binary_tensor(tensor: InferTensor, chunk: memoryview) -> Array:
    """Read raw little-endian elements; BYTES have a 4-byte length each. Raises `InvalidTensor`."""
    dtype, count = dtype_of(tensor), element_count(tensor)
    if tensor.datatype == "BYTES":
        return shaped(tensor, np.array(split_bytes(tensor, chunk, count), object))
    if len(chunk) != count * dtype.itemsize:
        raise InvalidTensor(
            f"input {tensor.name!r}: {len(chunk)} bytes, but shape {list(tensor.shape)} of {tensor.datatype} "
            f"takes {count * dtype.itemsize}"
        )
    return shaped(tensor, np.frombuffer(chunk, dtype))


def split_bytes(tensor: InferTensor, chunk: memoryview, count: int) -> list[bytes]:
    """Cut a BYTES tensor into its elements. Raises `InvalidTensor`."""
    elements = []
    while len(chunk) >= 4:
        (size,) = struct.unpack_from("<I", chunk)
        elements.append(bytes(chunk[4 : 4 + size]))
        if len(elements[-1]) != size:
            raise InvalidTensor(f"input {tensor.name!r}: an element of {size} bytes is cut short")
        chunk = chunk[4 + size :]
    if len(chunk) or len(elements) != count:
        raise InvalidTensor(
            f"input {tensor.name!r}: {len(elements)} elements, but shape {list(tensor.shape)} takes {count}"
        )
    return elements


def encode_response(
    model: str, version: str, inference: Inference, outputs: Mapping[str, Array], labels: tuple[str, ...]
) -> EncodedResponse:
    """Write the outputs that were asked for, each in the form that was asked for. Raises `InvalidTensor`."""
    described: list[dict[str, Any]] = []
    chunks = []
    for wanted in inference.outputs or [RequestedOutput(name) for name in outputs]:
        if wanted.name not in outputs:
            raise InvalidTensor(f"there is no output {wanted.name!r}, expected one of: {', '.join(outputs)}")
        # A small request could ask for gigabytes.
        if any(wanted.name == description["name"] for description in described):
            raise InvalidTensor(f"output {wanted.name!r} is asked for twice")
        array = classified(wanted, outputs[wanted.name], labels)
        binary = wanted.parameters.get("binary_data", inference.binary_by_default) is True
        description, chunk = encode_tensor(wanted.name, array, binary)
        described.append(description)
        chunks.append(chunk)
    header = msgspec.json.encode(
        {"model_name": model, "model_version": version, "id": inference.id, "outputs": described}
    )
    raw = b"".join(chunks)
    return EncodedResponse(header + raw, len(header) if raw else None)


def classified(wanted: RequestedOutput, array: Array, labels: tuple[str, ...]) -> Array:
    """Apply the classification extension: the k largest as `value:index:label`. Raises `InvalidTensor`."""
    count = wanted.parameters.get("classification", 0)
    if count == 0:
        return array
    if not isinstance(count, int) or isinstance(count, bool) or count < 1 or array.ndim != 2:
        raise InvalidTensor(f"output {wanted.name!r} cannot be classified with count {count!r}")
    top = np.argsort(-array, axis=1, kind="stable")[:, :count]
    rows = [
        [f"{row[index]:f}:{index}:{labels[index]}".encode() for index in best]
        for row, best in zip(array, top, strict=True)
    ]
    return np.array(rows, object)


def encode_tensor(name: str, array: Array, binary: bool) -> tuple[dict[str, Any], bytes]:
    """Describe a tensor, with its data in the description or beside it."""
    description: dict[str, Any] = {
        "name": name,
        "datatype": datatype_of(array),
        "shape": list(array.shape),
    }
    if binary:
        chunk = join_bytes(array) if array.dtype == object else np.ascontiguousarray(array).tobytes()
        return {**description, "parameters": {"binary_data_size": len(chunk)}}, chunk
    values = array.ravel().tolist()
    data = [value.decode() for value in values] if array.dtype == object else values
    return {**description, "data": data}, b""


def join_bytes(array: Array) -> bytes:
    """Write each element behind its length."""
    return b"".join(struct.pack("<I", len(value)) + value for value in array.ravel())


def datatype_of(array: Array) -> str:
    """Name a NumPy type as the protocol does."""
    return next(name for name, dtype in DTYPES.items() if dtype == array.dtype)
