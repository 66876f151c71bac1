"""The wire format of the Open Inference Protocol, byte by byte."""

from __future__ import annotations

import gzip
import json
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.errors import BodyTooLarge, InvalidTensor, LiveDigitError, UnsupportedEncoding
from service.tensors import DTYPES, Inference, RequestedOutput, decompress, encode_response, parse_inference

NUMERIC = [name for name in DTYPES if name != "BYTES"]


def request(*tensors: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": list(tensors), **more}).encode()


def tensor(data: Any, shape: list[int], datatype: str = "FP32", name: str = "x", **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data, **more}


def binary(chunk: bytes, shape: list[int], datatype: str = "FP32") -> tuple[bytes, str]:
    described = {
        "name": "x",
        "shape": shape,
        "datatype": datatype,
        "parameters": {"binary_data_size": len(chunk)},
    }
    header = request(described)
    return header + chunk, str(len(header))


@pytest.mark.parametrize("data", [[[1, 2, 3], [4, 5, 6]], [1, 2, 3, 4, 5, 6]])
def test_nested_and_flat_data_are_the_same_tensor(data):
    array = parse_inference(request(tensor(data, [2, 3])), None).inputs["x"]
    assert array.dtype == np.float32
    assert array.tolist() == [[1, 2, 3], [4, 5, 6]]


@given(st.data())
def test_numbers_survive_the_binary_way_there_and_back(data):
    datatype = data.draw(st.sampled_from(NUMERIC))
    array = data.draw(arrays.arrays(DTYPES[datatype], arrays.array_shapes(max_dims=3, max_side=4)))
    body, length = binary(array.tobytes(), list(array.shape), datatype)
    inference = parse_inference(body, length)._replace(binary_by_default=True)
    assert inference.inputs["x"].tobytes() == array.tobytes()
    response = encode_response("m", "1", inference, {"y": inference.inputs["x"]}, ())
    header = json.loads(response.body[: response.header_length])
    assert header["outputs"][0]["datatype"] == datatype
    assert response.body[response.header_length :] == array.tobytes()


@given(st.lists(st.binary(max_size=20), max_size=6))
def test_bytes_survive_the_binary_way_there_and_back(elements):
    chunk = b"".join(struct.pack("<I", len(element)) + element for element in elements)
    body, length = binary(chunk, [len(elements)], "BYTES")
    assert parse_inference(body, length).inputs["x"].tolist() == elements


@given(st.binary(max_size=200), st.one_of(st.none(), st.text(max_size=4)))
def test_any_body_is_read_or_refused_with_a_reason(body, length):
    try:
        parse_inference(body, length)
    except InvalidTensor as error:
        assert str(error)  # noqa: PT017 - most bodies are refused, not all


@pytest.mark.parametrize(
    ("body", "length", "words"),
    [
        (b"{", None, "JSON"),
        (b"[" * 100_000, None, "JSON"),
        (b"{}", None, "inputs"),
        (b"{}", "3", "up to the body's 2 bytes"),
        (b"{}", "-1", "up to"),
        (b"{}", "two", "up to"),
        (request(tensor([1], [2])), None, "2 elements, data has 1"),
        (request(tensor([1], [-1])), None, "shape"),
        (request(tensor([1], [1] * 9)), None, "shape"),
        (request(tensor([1], [10**4000] * 2)), None, "shape that cannot be"),
        (request(tensor([], [0, 10**4000])), None, "shape that cannot be"),
        (request(tensor([1], [2**62, 2])), None, "shape that cannot be"),
        (*binary(b"\0", [10**4000] * 2), "shape that cannot be"),
        (request(tensor([[1], [2, 3]], [3])), None, "no FP32 tensor"),
        (request(tensor(["a"], [1])), None, "no FP32 tensor"),
        (request(tensor(["1"], [1])), None, "no FP32 tensor"),
        (request(tensor([{"1": 1}], [1])), None, "no FP32 tensor"),
        (request(tensor(1, [1])), None, "no FP32 tensor"),
        (request(tensor(None, [1])), None, "no FP32 tensor"),
        (request(tensor([1.5], [1], "INT32")), None, "no INT32 tensor"),
        (request(tensor([1], [1], "BYTES")), None, "no BYTES tensor"),
        (request(tensor([1], [1], "FP8")), None, "datatype 'FP8'"),
        (request(tensor([300], [1], "UINT8")), None, "no UINT8 tensor"),
        (request(tensor([1], [1]), tensor([1], [1])), None, "twice"),
        (request({"name": "x", "shape": [1], "datatype": "FP32"}), None, "neither"),
        (request(tensor([1], [1])) + b"more", str(len(request(tensor([1], [1])))), "4 bytes follow"),
        (*binary(b"\0" * 7, [2]), "takes 8"),
        (*binary(b"\1\0\0\0", [1], "BYTES"), "cut short"),
        (*binary(b"\0\0\0\0\0", [1], "BYTES"), "elements"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(body, length, words):
    with pytest.raises(InvalidTensor, match=words):
        parse_inference(body, length)


def test_strings_for_numbers_take_no_room():
    """In NumPy's arrays of strings every element is as long as the longest."""
    body = request(tensor(["1" * 10_000, *[1] * 10_000], [10_001]))
    tracemalloc.start()
    with pytest.raises(InvalidTensor, match="expected an array of numbers"):
        parse_inference(body, None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("size", [9, -1, "8", 1.5, True])
def test_a_binary_size_that_cannot_be_is_refused(size):
    described = {"name": "x", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": size}}
    header = request(described)
    with pytest.raises(InvalidTensor):
        parse_inference(header + b"\0" * 8, str(len(header)))


def test_classification_gives_value_index_and_label_in_descending_order():
    inference = Inference("7", {}, (RequestedOutput("p", {"classification": 2}),), False)
    scores = np.array([[0.1, 0.7, 0.2]], np.float32)
    body = json.loads(encode_response("m", "1", inference, {"p": scores}, ("a", "b", "c")).body)
    assert body["id"] == "7"
    assert body["outputs"][0] == {
        "name": "p",
        "datatype": "BYTES",
        "shape": [1, 2],
        "data": ["0.700000:1:b", "0.200000:2:c"],
    }


@pytest.mark.parametrize("count", [-1, "two", 1.5, True])
def test_a_classification_of_no_count_is_refused(count):
    inference = Inference("", {}, (RequestedOutput("p", {"classification": count}),), False)
    with pytest.raises(InvalidTensor, match="classified"):
        encode_response("m", "1", inference, {"p": np.zeros((1, 3), np.float32)}, ("a", "b", "c"))


def test_an_output_says_for_itself_whether_it_comes_as_bytes():
    wanted = (RequestedOutput("a", {"binary_data": False}), RequestedOutput("b"))
    ones = np.ones(2, np.float32)
    response = encode_response("m", "1", Inference("", {}, wanted, True), {"a": ones, "b": ones}, ())
    first, second = json.loads(response.body[: response.header_length])["outputs"]
    assert first["data"] == [1.0, 1.0]
    assert second["parameters"] == {"binary_data_size": 8}


def test_an_unknown_output_is_refused_with_those_that_exist():
    inference = Inference("", {}, (RequestedOutput("probs"),), False)
    with pytest.raises(InvalidTensor, match="expected one of: logits"):
        encode_response("m", "1", inference, {"logits": np.ones(1, np.float32)}, ())


def test_an_output_that_is_asked_for_twice_is_refused():
    """A request of 4 MiB could ask for gigabytes."""
    inference = Inference("", {}, (RequestedOutput("logits"), RequestedOutput("logits")), False)
    with pytest.raises(InvalidTensor, match="'logits' is asked for twice"):
        encode_response("m", "1", inference, {"logits": np.ones(1, np.float32)}, ())


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate"]))
def test_compressed_bodies_are_undone(body, encoding):
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    assert decompress(packed, encoding, 1000) == body


def test_a_bomb_is_stopped_at_the_limit():
    with pytest.raises(BodyTooLarge, match="1,000 bytes"):
        decompress(gzip.compress(bytes(50_000_000)), "gzip", 1000)


@pytest.mark.parametrize("spoil", [lambda b: b[:-9], lambda b: b + b"x", lambda b: b"x" + b, lambda _: b""])
def test_a_damaged_compressed_body_is_refused(spoil):
    with pytest.raises(InvalidTensor):
        decompress(spoil(gzip.compress(b"some text to pack")), "gzip", 1000)


def test_an_unknown_encoding_is_refused():
    with pytest.raises(UnsupportedEncoding, match="'br'"):
        decompress(b"", "br", 1000)
    assert issubclass(UnsupportedEncoding, LiveDigitError)
