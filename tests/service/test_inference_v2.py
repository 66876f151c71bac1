"""`/v2` as its real client uses it, and as nobody should."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from service.classifier import Classifier
from service.contract import Manifest
from service.errors import DeadlineExceeded, UnknownModel
from service.model_kinds import ImageKind, Limits, NumberKind
from service.preprocessing import prepare_image
from service.questions import work_alone
from service.tensors import Inference

PROBABILITIES, LOGITS, LABEL = "probabilities", "logits", "label"


@pytest.fixture(scope="module")
def address(server) -> str:
    return server.url.removeprefix("http://")


@pytest.fixture
def remote(address) -> Iterator[Any]:
    with triton.InferenceServerClient(address) as connected:
        yield connected


@pytest.fixture(scope="module")
def pngs(repo_root) -> list[bytes]:
    paths = sorted((repo_root / "export/drawings").glob("*-canvas.png"))
    assert [path.name[0] for path in paths] == list("0123456789")
    return [path.read_bytes() for path in paths]


@pytest.fixture(scope="module")
def tensors(pngs) -> np.ndarray:
    return np.stack([prepare_image(png).tensor for png in pngs])


def tensor_input(images: np.ndarray, binary: bool = True) -> Any:
    prepared = triton.InferInput("image", list(images.shape), "FP32")
    prepared.set_data_from_numpy(images, binary_data=binary)
    return prepared


def image_input(images: list[bytes], binary: bool = True) -> Any:
    prepared = triton.InferInput("image", [len(images)], "BYTES")
    prepared.set_data_from_numpy(np.array(images, object), binary_data=binary)
    return prepared


def highest(remote) -> str:
    """The version that is served."""
    return max((row["version"] for row in remote.get_model_repository_index()), key=int)


def test_health_and_metadata(remote):
    assert remote.is_server_live()
    assert remote.is_server_ready()
    assert remote.is_model_ready("digits")
    assert remote.is_model_ready("digits_image", highest(remote))
    assert not remote.is_model_ready("digits", "99")
    assert remote.get_server_metadata()["name"] == "livedigit"
    metadata = remote.get_model_metadata("digits")
    assert metadata["platform"] == "onnx_onnxv1"
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 28, 28, 1]}]
    assert {tensor["name"] for tensor in metadata["outputs"]} == {PROBABILITIES, LOGITS}
    assert metadata["properties"]["parity"] == "agree"
    assert remote.get_model_metadata("digits_image", highest(remote))["inputs"][0]["datatype"] == "BYTES"
    assert remote.get_model_config("digits")["max_batch_size"] == 256


def test_the_repository_index_lists_what_answers(remote):
    rows = remote.get_model_repository_index()
    assert {row["name"] for row in rows} == {"digits", "digits_image", "digits_number"}
    ready = {row["version"] for row in rows if row["state"] == "READY"}
    assert highest(remote) in ready
    assert all(remote.is_model_ready("digits", version) for version in ready)


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_tensors_go_in_and_come_out_as_bytes_or_as_json(remote, tensors, binary_in, binary_out):
    wanted = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in (PROBABILITIES, LOGITS)]
    result = remote.infer("digits", [tensor_input(tensors, binary_in)], outputs=wanted, request_id="a-1")
    assert result.get_response()["id"] == "a-1"
    assert result.get_response()["model_version"] == "1" or int(result.get_response()["model_version"]) > 1
    assert result.as_numpy(PROBABILITIES).argmax(axis=1).tolist() == list(range(10))
    assert result.as_numpy(LOGITS).shape == (10, 10)


def test_both_ways_to_send_a_tensor_give_the_same_bits(remote, tensors):
    answers = [remote.infer("digits", [tensor_input(tensors, binary)]) for binary in (True, False)]
    assert np.array_equal(answers[0].as_numpy(LOGITS), answers[1].as_numpy(LOGITS))


@pytest.mark.parametrize("batch", [1, 2, 7, 64, 256])
def test_any_batch_up_to_the_limit(remote, tensors, batch):
    images = np.resize(tensors, (batch, 28, 28, 1))
    assert remote.infer("digits", [tensor_input(images)]).as_numpy(PROBABILITIES).shape == (batch, 10)


def test_encoded_images_are_read_as_the_tensors_that_they_become(remote, pngs, tensors):
    for binary in (True,):
        result = remote.infer("digits_image", [image_input(pngs, binary)])
        assert [label.decode() for label in result.as_numpy(LABEL)] == list("0123456789")
        direct = remote.infer("digits", [tensor_input(tensors)])
        assert np.array_equal(result.as_numpy(LOGITS), direct.as_numpy(LOGITS))


def test_whole_numbers_are_read_from_encoded_images(remote, pngs):
    assert remote.is_model_ready("digits_number")
    assert remote.get_model_metadata("digits_number")["inputs"] == [
        {"name": "image", "datatype": "BYTES", "shape": [-1]}
    ]
    assert remote.get_model_config("digits_number")["max_batch_size"] == 32
    result = remote.infer("digits_number", [image_input(pngs)])
    assert [number.decode() for number in result.as_numpy("number")] == list("0123456789")
    readings = [json.loads(reading) for reading in result.as_numpy("reading")]
    assert [reading["number"] for reading in readings] == list("0123456789")
    assert result.as_numpy("confidence").tolist() == pytest.approx([reading["confidence"] for reading in readings])


def test_inputs_of_another_type_are_refused_in_the_words_of_the_protocol(remote, pngs, tensors):
    with pytest.raises(InferenceServerException, match="is FP32, the model takes BYTES"):
        remote.infer("digits_image", [tensor_input(tensors)])
    with pytest.raises(InferenceServerException, match="is BYTES, the model takes FP32"):
        remote.infer("digits", [image_input(pngs)])


def test_a_number_that_cannot_be_read_is_named_by_its_place(remote, pngs):
    with pytest.raises(InferenceServerException, match="image 1: not an image"):
        remote.infer("digits_number", [image_input([pngs[0], b"nonsense"])])
    with pytest.raises(InferenceServerException, match="a batch of 33, expected 1 to 32"):
        remote.infer("digits_number", [image_input(pngs[:1] * 33)])


def test_a_model_that_reads_no_digits_reads_no_numbers(published):
    manifest = msgspec.json.decode((published / "manifest.json").read_bytes(), type=Manifest)
    letters = msgspec.structs.replace(manifest, labels=tuple("abcdefghij"))
    with pytest.raises(UnknownModel, match="does not read digits"):
        NumberKind().check(Classifier(letters, (published / "model.onnx").read_bytes()))
    tensors_only = msgspec.structs.replace(manifest, preprocessing=None)
    with pytest.raises(UnknownModel, match="takes tensors only"):
        NumberKind().check(Classifier(tensors_only, (published / "model.onnx").read_bytes()))


@pytest.mark.parametrize("kind", [ImageKind(), NumberKind()])
def test_images_that_nobody_waits_for_any_more_are_not_read(published, kind):
    """The thread is needed for the next request; these would be refused if they were read."""
    manifest = msgspec.json.decode((published / "manifest.json").read_bytes(), type=Manifest)
    model = Classifier(manifest, (published / "model.onnx").read_bytes())
    limits = Limits(max_body_bytes=100, max_batch=100, max_pixels=100, deadline=time.monotonic() - 1)
    batch = Inference("", {"image": np.array([b"no image"] * 2, object)}, (), False)
    with pytest.raises(DeadlineExceeded):
        work_alone(kind.steps(model, batch, limits))


def test_classification_gives_the_best_with_their_labels(remote, tensors):
    wanted = [triton.InferRequestedOutput(PROBABILITIES, class_count=5)]
    rows = remote.infer("digits", [tensor_input(tensors)], outputs=wanted).as_numpy(PROBABILITIES)
    assert rows.shape == (10, 5)
    value, index, label = rows[7][0].decode().split(":")
    assert (index, label) == ("7", "7")
    assert float(value) > 0.5


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests_are_read(remote, tensors, algorithm):
    result = remote.infer("digits", [tensor_input(tensors)], request_compression_algorithm=algorithm)
    assert result.as_numpy(PROBABILITIES).argmax(axis=1).tolist() == list(range(10))


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_a_client_that_would_take_compressed_answers_understands_ours(remote, tensors, algorithm):
    result = remote.infer("digits", [tensor_input(tensors)], response_compression_algorithm=algorithm)
    assert result.as_numpy(PROBABILITIES).shape == (10, 10)


def test_a_raw_body_is_one_input_of_batch_one(remote, server, tensors, pngs):
    headers = {"Inference-Header-Content-Length": "0"}
    for model, body, shape in (
        ("digits", tensors[7].tobytes(), [1, 10]),
        ("digits_image", pngs[7], [1, 10]),
        ("digits_number", pngs[7], [1]),
    ):
        answer = httpx.post(f"{server.url}/v2/models/{model}/infer", content=body, headers=headers)
        length = int(answer.headers["inference-header-content-length"])
        assert json.loads(answer.content[:length])["outputs"][-1]["shape"] == shape


def test_the_asynchronous_client_works_as_well(address, tensors):
    async def scenario() -> Any:
        async with triton_aio.InferenceServerClient(address) as remote:
            assert await remote.is_server_ready()
            assert (await remote.get_model_metadata("digits"))["name"] == "digits"
            assert await remote.get_model_repository_index()
            return await remote.infer("digits", [tensor_input(tensors)])

    assert asyncio.run(scenario()).as_numpy(PROBABILITIES).argmax(axis=1).tolist() == list(range(10))


def test_many_requests_at_once(address, tensors):
    with triton.InferenceServerClient(address, concurrency=8) as remote:
        pending = [remote.async_infer("digits", [tensor_input(tensors[i % 10 : i % 10 + 1])]) for i in range(40)]
        answers = [request.get_result().as_numpy(PROBABILITIES).argmax() for request in pending]
    assert answers == [i % 10 for i in range(40)]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda remote: remote.get_model_metadata("letters"), "no model 'letters'"),
        (lambda remote: remote.get_model_metadata("digits", "99"), "no version '99'"),
        (lambda remote: remote.get_inference_statistics("digits"), "Not Found"),
        (lambda remote: remote.load_model("digits"), "Not Found"),
    ],
)
def test_the_client_can_read_every_refusal(remote, call, words):
    with pytest.raises(InferenceServerException, match=words):
        call(remote)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda x: x.astype(np.float64), "FP32"),
        (lambda x: x[..., 0], "shape"),
        (lambda x: x[:, :14], "shape"),
        (lambda x: x[:0], "batch of 0"),
        (lambda x: np.resize(x, (257, 28, 28, 1)), "batch of 257"),
        (lambda x: np.full_like(x, np.nan), "NaN"),
        (lambda x: np.full_like(x, np.inf), "NaN or infinity"),
    ],
)
def test_tensors_that_the_model_does_not_take_are_refused(remote, tensors, spoil, words):
    images = spoil(tensors)
    datatype = "FP64" if images.dtype == np.float64 else "FP32"
    prepared = triton.InferInput("image", list(images.shape), datatype)
    prepared.set_data_from_numpy(images)
    with pytest.raises(InferenceServerException, match=words):
        remote.infer("digits", [prepared])


def test_an_image_that_cannot_be_read_is_named_by_its_place(remote, pngs):
    with pytest.raises(InferenceServerException, match="image 1: not an image"):
        remote.infer("digits_image", [image_input([pngs[0], b"nonsense"])])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/digits/infer", 405),
        ("DELETE", "/v2", 405),
        ("POST", "/v2/models/letters/infer", 404),
        ("POST", "/v2/models/digits/versions/x/infer", 404),
        ("POST", "/v2/models/digits/infer", 400),
        ("POST", "/v2/repository/models/digits/load", 404),
    ],
)
def test_every_refusal_under_v2_has_the_protocols_shape(server, method, path, status):
    answer = httpx.request(method, server.url + path, content=b"{" if method == "POST" else None)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert answer.json()["error"]


def test_a_bomb_is_refused_before_it_grows(server):
    body = gzip.compress(bytes(50_000_000))
    answer = httpx.post(f"{server.url}/v2/models/digits/infer", content=body, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    assert "once decompressed" in answer.json()["error"]


def test_an_unknown_encoding_is_refused(server):
    answer = httpx.post(f"{server.url}/v2/models/digits/infer", content=b"x", headers={"Content-Encoding": "br"})
    assert answer.status_code == 415
    assert "br" in answer.json()["error"]


def test_only_ready_versions_on_request(server):
    rows = httpx.post(f"{server.url}/v2/repository/index", json={"ready": True}).json()
    assert {row["state"] for row in rows} == {"READY"}
    assert httpx.post(f"{server.url}/v2/repository/index", content=b"[]").status_code == 400


def test_finite_numbers_on_which_the_model_overflows_are_refused(client):
    tensor = {"name": "image", "shape": [1, 28, 28, 1], "datatype": "FP32", "data": [3e38, -3e38] * 392}
    answer = client.post("/v2/models/digits/infer", json={"inputs": [tensor]})
    assert answer.status_code == 400
    assert "overflows" in answer.json()["error"]
