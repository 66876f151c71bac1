"""Every status of the API, asked for as a client would."""

from __future__ import annotations

import asyncio
import base64
import re
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import pytest
from litestar.testing import TestClient
from PIL import Image

from service.app import create_app
from service.classifier import Classifier
from service.errors import InferenceFailure
from service.preprocessing import FORMATS
from service.settings import Settings


def data_url(image: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def assert_problem(answer: httpx.Response, status: int, words: str = "") -> None:
    """Problem details as RFC 9457 has them, and never a traceback."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert re.search(words, problem["detail"]), problem["detail"]
    assert "Traceback" not in answer.text


def test_a_seven_as_a_data_url_is_read(client, seven, encode):
    answer = client.post("/predict", json={"image": data_url(encode(seven))})
    assert answer.status_code == 200
    body = answer.json()
    assert list(body)[:5] == ["digit", "confidence", "top_predictions", "cropped_image", "final_image"]
    assert body["digit"] == 7
    assert body["top_predictions"][0] == {"digit": 7, "confidence": body["confidence"]}
    confidences = [row["confidence"] for row in body["top_predictions"]]
    assert len(confidences) == 5
    assert confidences == sorted(confidences, reverse=True)
    assert 0.5 < confidences[0] <= 1
    assert body["cropped_image"] is body["final_image"] is None


def test_base64_without_a_prefix_is_read_too(client, seven, encode):
    answer = client.post("/predict", json={"image": base64.b64encode(encode(seven)).decode()})
    assert answer.json()["digit"] == 7


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_as_a_bare_body(client, seven, encode, kind):
    answer = client.post("/predict", content=encode(seven, kind), headers={"Content-Type": f"image/{kind.lower()}"})
    assert answer.status_code == 200
    assert answer.json()["digit"] == 7


def test_a_form_with_a_file_is_read(client, seven, encode):
    answer = client.post("/predict", files={"image": ("seven.png", encode(seven), "image/png")})
    assert answer.status_code == 200
    assert answer.json()["digit"] == 7


def test_all_three_forms_give_the_same_answer(client, seven, encode):
    png = encode(seven)
    answers = [
        client.post("/predict", json={"image": data_url(png)}),
        client.post("/predict", content=png, headers={"Content-Type": "image/png"}),
        client.post("/predict", files={"image": ("seven.png", png, "image/png")}),
    ]
    assert answers[0].json() == answers[1].json() == answers[2].json()


@pytest.mark.parametrize("form", ["json", "body", "form"])
def test_debug_shows_what_the_model_saw(client, seven, encode, form):
    png = encode(seven)
    if form == "json":
        answer = client.post("/predict", json={"image": data_url(png), "debug": True})
    elif form == "body":
        answer = client.post("/predict?debug=true", content=png, headers={"Content-Type": "image/png"})
    else:
        answer = client.post("/predict", files={"image": ("seven.png", png)}, data={"debug": "1"})
    crop, final = (base64.b64decode(answer.json()[key]) for key in ("cropped_image", "final_image"))
    assert crop.startswith(b"\x89PNG")
    assert struct.unpack(">II", final[16:24]) == (28, 28)


def cut_in_half(image: bytes) -> bytes:
    return image[: len(image) // 2]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("not base64", "not base64"),
        ("", "not an image"),
        (base64.b64encode(b"not an image").decode(), "not an image"),
        ("data:image/png;base64,AAAA", "not an image"),
        ("data:text/html,<script>", "not base64"),
        ("ÿ", "not base64"),
    ],
)
def test_what_is_no_image_gets_400(client, image, words):
    assert_problem(client.post("/predict", json={"image": image}), 400, words)


def test_half_an_image_gets_400(client, seven, encode):
    assert_problem(client.post("/predict", json={"image": data_url(cut_in_half(encode(seven)))}), 400, "damaged")


def test_a_blank_canvas_gets_400(client, encode):
    blank = encode(Image.new("L", (280, 280), 10))
    assert_problem(client.post("/predict", json={"image": data_url(blank)}), 400, "no ink")


def test_a_single_dot_and_a_single_pixel_are_answered(client, encode):
    dot = Image.new("L", (280, 280))
    dot.paste(255, (130, 130, 150, 150))
    pixel = Image.new("L", (3, 3))
    pixel.putpixel((1, 1), 255)
    for image in (dot, pixel):
        assert client.post("/predict", json={"image": data_url(encode(image))}).status_code == 200


@pytest.mark.parametrize("size", [(1, 1), (280, 280)])
def test_white_all_over_is_blank_paper(client, encode, size):
    response = client.post("/predict", json={"image": data_url(encode(Image.new("L", size, 255)))})
    assert response.status_code == 400
    assert "no ink" in response.json()["detail"]


def test_dark_ink_on_light_paper_is_read(client, repo_root):
    data = (repo_root / "export/drawings/3-dark-on-light.png").read_bytes()
    response = client.post("/predict", content=data, headers={"content-type": "image/png"})
    assert response.json()["digit"] == 3


def bomb() -> bytes:
    """A PNG of 10 kB that promises 900 million pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_a_decompression_bomb_gets_400(client):
    assert_problem(client.post("/predict", json={"image": data_url(bomb())}), 400, "pixels")


@pytest.mark.parametrize("body", [b"", b"{", b"seven", b'{"image": "\xff"}'])
def test_a_body_that_is_not_json_gets_400(client, body):
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert_problem(answer, 400, "not JSON")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "image"),
        ([], "object"),
        ({"image": 7}, r"\$\.image"),
        ({"image": "", "debug": "yes"}, r"\$\.debug"),
        ({"image": "", "size": 28}, "size"),
    ],
)
def test_json_of_the_wrong_shape_gets_422(client, body, words):
    assert_problem(client.post("/predict", json=body), 422, words)


def test_a_form_without_an_image_gets_422(client):
    assert_problem(client.post("/predict", files={"picture": ("a.png", b"")}), 422, "image")
    assert_problem(client.post("/predict", files={"other": ("", b"")}, data={"image": "text"}), 422, "image")


def test_a_form_without_a_boundary_gets_400(client):
    answer = client.post("/predict", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert_problem(answer, 400, "boundary")


@pytest.mark.parametrize("content_type", ["text/plain", "image/tiff", "application/x-www-form-urlencoded", None])
def test_other_content_types_get_415_and_are_told_which_are_read(client, content_type):
    headers = {"Content-Type": content_type} if content_type else {}
    assert_problem(client.post("/predict", content=b"x", headers=headers), 415, "application/json")


def test_a_body_over_the_limit_gets_413():
    with TestClient(create_app(Settings(max_body_bytes=2048))) as client:
        assert_problem(client.post("/predict", json={"image": "A" * 2048}), 413, "larger than .* accepts")


def test_the_limit_holds_for_a_body_of_unknown_length():
    with TestClient(create_app(Settings(max_body_bytes=2048))) as client:
        chunks = (b" " * 512 for _ in range(8))
        assert_problem(client.post("/predict", content=chunks, headers={"Content-Type": "image/png"}), 413)


def test_too_many_requests_get_429_and_are_told_when_to_come_back(seven, encode):
    with TestClient(create_app(Settings(rate_limit_per_minute=2))) as client:
        answers = [client.post("/predict", json={"image": data_url(encode(seven))}) for _ in range(3)]
        assert [answer.status_code for answer in answers[:2]] == [200, 200]
        assert_problem(answers[2], 429, "try again later")
        assert 0 < int(answers[2].headers["retry-after"]) <= 60
        assert [client.get(path).status_code for path in ("/health", "/v2/health/ready", "/")] == [200] * 3


def test_a_model_with_the_name_of_a_health_check_has_a_rate_limit():
    with TestClient(create_app(Settings(rate_limit_per_minute=2))) as client:
        assert [client.get("/v2/models/health").status_code for _ in range(3)] == [404, 404, 429]


def test_an_inference_that_fails_gets_500_without_its_reason(seven, encode, caplog):
    app = create_app(Settings())
    app.state.service.models.current = FailingClassifier(app.state.service.models.current)
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.post("/predict", json={"image": data_url(encode(seven))})
        assert_problem(answer, 500)
        assert "secret" not in answer.text
    assert "secret" in caplog.text


class FailingClassifier:
    """Prepares images as its original does, and cannot run."""

    def __init__(self, original: Classifier) -> None:
        self.manifest = original.manifest
        self.preprocessing = original.preprocessing
        self.digits = original.digits
        self.uncertain_below = original.uncertain_below

    def run(self, images: Any) -> Any:
        raise InferenceFailure("secret path in a message of the runtime")


class SlowClassifier(FailingClassifier):
    """Answers only when the test lets it."""

    def __init__(self, original: Classifier) -> None:
        super().__init__(original)
        self.run_original = original.run
        self.started = threading.Event()
        self.go_on = threading.Event()

    def run(self, images: Any) -> Any:
        self.started.set()
        self.go_on.wait(30)
        return self.run_original(images)


def test_work_beyond_the_limit_gets_503_at_once_and_the_rest_is_answered(seven, encode):
    app = create_app(Settings(max_inflight=1, max_queue=0))
    slow = app.state.service.models.current = SlowClassifier(app.state.service.models.current)
    body = {"image": data_url(encode(seven, "BMP"))}
    with TestClient(app) as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/predict", json=body)
        assert slow.started.wait(30)
        refused = client.post("/predict", json=body)
        slow.go_on.set()
        assert_problem(refused, 503, "try again")
        assert refused.headers["retry-after"] == "1"
        assert first.result().json()["digit"] == 7


def test_an_inference_past_its_deadline_gets_504(seven, encode):
    app = create_app(Settings(request_timeout_s=0.01))
    slow = app.state.service.models.current = SlowClassifier(app.state.service.models.current)
    with TestClient(app) as client:
        answer = client.post("/predict", json={"image": data_url(encode(seven, "BMP"))})
        slow.go_on.set()
        assert_problem(answer, 504, "0.01 s")


@pytest.fixture(scope="module")
def without_model(tmp_path_factory):
    settings = Settings(models_dir=str(tmp_path_factory.mktemp("empty")))
    with TestClient(create_app(settings)) as client:
        yield client


def test_without_a_model_the_page_is_served_and_predict_says_what_to_do(without_model):
    assert "<canvas" in without_model.get("/").text
    answer = without_model.post("/predict", json={"image": ""})
    assert_problem(answer, 503, "livedigit export")
    assert answer.headers["retry-after"]
    assert without_model.get("/health").status_code == 503


def test_health_names_the_model(client):
    body = client.get("/health").json()
    assert (body["status"], body["model"]) == ("ok", "digits")
    assert body["version"] >= 1


def test_the_page_comes_with_a_strict_policy_and_an_etag(client):
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    again = client.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_travels_compressed_to_those_who_read_that(client):
    packed = client.get("/", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])


def test_the_service_worker_may_keep_the_page(client):
    assert client.get("/static/service-worker.js").headers["service-worker-allowed"] == "/"
    assert "service-worker-allowed" not in client.get("/").headers


def test_head_answers_like_get_without_a_body(client):
    assert client.head("/").status_code == 200
    assert client.head("/").content == b""


def test_every_asset_of_the_page_is_served_with_its_type(client, repo_root):
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
    for path in (repo_root / "web").rglob("*"):
        if path.suffix in types:
            answer = client.get(f"/static/{path.relative_to(repo_root / 'web').as_posix()}")
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith(types[path.suffix])
            assert answer.content == path.read_bytes()


@pytest.mark.parametrize(
    "path",
    ["/static/../pyproject.toml", "/static/%2e%2e/pyproject.toml", "/static//etc/passwd", "/static/js", "/nothing"],
)
def test_no_other_file_can_be_had(client, path):
    assert_problem(client.get(path), 404)


def test_a_wrong_method_gets_405(client):
    assert_problem(client.get("/predict"), 405)


def test_the_answer_decodes_as_the_contract_says(client, seven, encode):
    from service.contract import PredictResponse

    content = client.post("/predict", json={"image": data_url(encode(seven))}).content
    assert msgspec.json.decode(content, type=PredictResponse, strict=True).digit == 7


@pytest.mark.parametrize("path", ["/predict", "/read"])
@pytest.mark.parametrize("charset", ["bogus", "idna", "utf-16", "punycode"])
def test_a_text_field_is_not_read_in_the_encoding_that_it_names(client, seven, encode, path, charset):
    """Megabytes of punycode take minutes."""
    text = f'Content-Disposition: form-data; name="note"\r\nContent-Type: text/plain; charset={charset}\r\n\r\nxn--'
    file = 'Content-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    body = b"--b\r\n" + text.encode() + b"\xff-\r\n--b\r\n" + file.encode() + encode(seven) + b"\r\n--b--\r\n"
    answer = client.post(path, content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"--b", b'--b\r\nContent-Disposition: form-data; name="image"; filename="\xff"\r\n\r\nx\r\n--b--'],
)
def test_a_body_that_is_no_form_is_a_bad_request(client, body):
    answer = client.post("/predict", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert_problem(answer, 400, "no form in UTF-8, or is cut short")


def test_a_form_of_too_many_fields_or_two_images_is_refused(client, seven, encode):
    image = ("image", ("seven.png", encode(seven)))
    assert_problem(client.post("/predict", files=[image], data={"note": ["x"] * 100}), 400, "more than 100 fields")
    assert_problem(client.post("/predict", files=[image, image]), 422, "2 fields")


def test_a_form_with_a_large_image_needs_no_disk(client, seven, encode, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", refuse)
    large = encode(seven) + bytes(2_000_000)
    assert client.post("/predict", files={"image": ("seven.png", large)}).json()["digit"] == 7


@pytest.mark.parametrize(("path", "shape"), [("/nowhere", "detail"), ("/v2/models/none", "error")])
def test_an_error_is_told_whatever_the_host_header_says(client, path, shape):
    answer = client.get(path, headers={"Host": "digits.example:eighty"})
    assert answer.status_code == 404
    assert shape in answer.json()


def test_the_rate_limit_forgets_addresses_that_do_not_come_again(monkeypatch):
    monkeypatch.setattr("service.lifecycle.FORGET_S", 0.0)
    app = create_app(Settings(rate_limit_per_minute=5))
    addresses = app.stores.get("rate_limit")
    with TestClient(app) as client:

        async def wait_until_forgotten() -> None:
            await addresses.set("gone", b"", expires_in=-1)
            while await addresses.exists("gone"):
                await asyncio.sleep(0)

        with client.portal() as portal:
            portal.call(asyncio.wait_for, wait_until_forgotten(), 30)
