"""What the API's documentation says beyond the handlers' signatures, and how it is shown without internet."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import (
    Components,
    Example,
    License,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
    SecurityScheme,
)

from service.access import PUBLIC
from service.contract import CANVAS_SIZE, MAX_CANVAS, InferenceError, Problem
from service.preprocessing import FORMATS

RAPIDOC = Path(__file__).parent / "vendor/rapidoc-min.js.gz"
RAPIDOC_PATH = "/schema/rapidoc.js"
# RapiDoc builds its style sheets while it runs; nothing else comes from anywhere but this server.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'"
)
DOCS_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{DOCS_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>LiveDigit API</title>
<script type="module" src="{RAPIDOC_PATH}"></script>
</head>
<body>
<rapi-doc spec-url="/schema/openapi.json" load-fonts="false" show-header="false" theme="light"
 render-style="read" allow-authentication="true"></rapi-doc>
</body>
</html>
"""
JSON = "application/json"
SEVEN = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEYAAABGAQAAAABZVd8pAAAAcUlEQVR42sXSsQ3AIAwEwLdFQckIjJ"
    "LNWI1RGAGlokA4RRIS6akTqueslykA/j9iZtYBPa86E2aSmew9vYadG7ow19h8ZQuFLWbem8A2QF1ZmHY219h8ZQuFLWZ+SwLbAH"
    "VlYdrZXGPz9U77s2P76t8cnNoZ6cAPynkAAAAASUVORK5CYII="
)


class DocsPlugin(OpenAPIRenderPlugin):
    """Shows the schema in a browser."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Give the page, which fetches the schema itself."""
        del request, openapi_schema
        return DOCS_PAGE.encode()


@get(RAPIDOC_PATH, include_in_schema=False, opt=PUBLIC, sync_to_thread=False)
def rapidoc() -> Response[bytes]:
    """Serve the script of the documentation's page."""
    return Response(RAPIDOC.read_bytes(), media_type="text/javascript", headers={"Content-Encoding": "gzip"})


def openapi_config() -> OpenAPIConfig:
    """Configure `/schema`, `/schema/openapi.json` and what they say of the whole."""
    return OpenAPIConfig(
        title="LiveDigit",
        version=package_version("livedigit"),
        description="Reads handwritten digits with nothing but ONNX Runtime. `/v2` is the Open Inference Protocol.",
        license=License(name="MIT"),
        path="/schema",
        use_handler_docstrings=True,
        render_plugins=[DocsPlugin(path="/"), JsonRenderPlugin()],
        components=Components(
            security_schemes={
                "key": SecurityScheme(
                    type="http", scheme="bearer", description="Only where the server was started with API keys."
                )
            }
        ),
        security=[{}, {"key": []}],
    )


OTHER_HOST = "a host that this server does not answer for"
ACCESS_REASONS = {
    "s401": "An API key is needed.",
    "s429": "Too many requests from this client; see Retry-After.",
}
"""Why a request may be refused, whatever it asks for; and with 400 for `OTHER_HOST`."""
WORK_REASONS = {
    **ACCESS_REASONS,
    "s408": "The body did not arrive in time.",
    "s500": "The model failed.",
    "s503": "No model is loaded, or too much work is waiting; see Retry-After.",
    "s504": "The answer took too long.",
}
"""Why a request for an inference may be refused, whatever its form; and with 413, for its size."""


def problems(**reasons: str) -> dict[int, ResponseSpec]:
    """Describe refusals as problem details: `problems(s400="...")`."""
    return describe_refusals(Problem, "application/problem+json", reasons)


def inference_errors(**reasons: str) -> dict[int, ResponseSpec]:
    """Describe refusals as the Open Inference Protocol has them: `inference_errors(s400="...")`."""
    return describe_refusals(InferenceError, JSON, reasons)


def describe_refusals(kind: type, media_type: str, reasons: dict[str, str]) -> dict[int, ResponseSpec]:
    """Make Litestar's descriptions from `s<status>` to reason."""
    return {
        int(status[1:]): ResponseSpec(kind, description=reason, media_type=media_type, generate_examples=False)
        for status, reason in reasons.items()
    }


IMAGE_SCHEMA = Schema(
    type=OpenAPIType.STRING,
    description=f"The image in base64, with or without a data-URL prefix: {', '.join(FORMATS)}.",
)
FILE_SCHEMA = Schema(
    type=OpenAPIType.STRING, content_media_type="application/octet-stream", format=OpenAPIFormat.BINARY
)
PREDICT_SCHEMA = Schema(
    type=OpenAPIType.OBJECT,
    required=["image"],
    additional_properties=False,
    properties={
        "image": IMAGE_SCHEMA,
        "debug": Schema(type=OpenAPIType.BOOLEAN, default=False, description="Also return what the model saw."),
    },
)
FORM_SCHEMA = Schema(
    type=OpenAPIType.OBJECT,
    required=["image"],
    properties={"image": FILE_SCHEMA, "debug": Schema(type=OpenAPIType.STRING, enum=["true", "false"])},
)
NUMBER_FORM_SCHEMA = Schema(type=OpenAPIType.OBJECT, required=["image"], properties={"image": FILE_SCHEMA})


def strokes_schema(
    description: str, least: float, most: float, min_items: int | None = None, max_items: int | None = None
) -> Schema:
    """Describe strokes, the bounds of their coordinates, and of their number."""
    point = Schema(
        type=OpenAPIType.ARRAY,
        min_items=2,
        max_items=2,
        items=Schema(type=OpenAPIType.NUMBER, minimum=least, maximum=most),
    )
    stroke = Schema(type=OpenAPIType.ARRAY, min_items=1, items=point)
    return Schema(
        type=OpenAPIType.ARRAY, description=description, items=stroke, min_items=min_items, max_items=max_items
    )


STROKES_SCHEMA = Schema(
    type=OpenAPIType.OBJECT,
    required=["strokes"],
    additional_properties=False,
    properties={
        "strokes": strokes_schema(
            "Strokes in the order in which they were drawn: points, x from the left and y from the top.",
            least=-MAX_CANVAS,
            most=2 * MAX_CANVAS,
        ),
        **{
            side: Schema(type=OpenAPIType.NUMBER, minimum=1, maximum=MAX_CANVAS, default=CANVAS_SIZE)
            for side in ("width", "height")
        },
    },
)
NUMBER_IMAGE_SCHEMA = Schema(
    type=OpenAPIType.OBJECT,
    required=["image"],
    additional_properties=False,
    properties={"image": IMAGE_SCHEMA},
)
BINARY_SCHEMA = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)

FEEDBACK_SCHEMA = Schema(
    type=OpenAPIType.OBJECT,
    required=["name", "label", "strokes"],
    additional_properties=False,
    properties={
        "name": Schema(
            type=OpenAPIType.STRING,
            pattern="^[A-Za-z0-9_-]{1,64}$",
            description="Names one drawing: of two with the same name, the later one is a second thought.",
        ),
        "label": Schema(type=OpenAPIType.STRING, pattern="^[0-9]$", description="The digit that was meant."),
        "strokes": strokes_schema(
            f"Strokes of [x, y] points on a canvas of {CANVAS_SIZE} x {CANVAS_SIZE}, from the top left.",
            least=0,
            most=CANVAS_SIZE,
            min_items=1,
            max_items=500,
        ),
        "answered": Schema(
            type=OpenAPIType.OBJECT,
            required=["digit", "confidence"],
            description="What had been answered; missing: nothing yet.",
            properties={
                "digit": Schema(type=OpenAPIType.INTEGER, minimum=0, maximum=9),
                "confidence": Schema(type=OpenAPIType.NUMBER, minimum=0, maximum=1),
            },
        ),
    },
)

TENSOR_SCHEMA = Schema(
    type=OpenAPIType.OBJECT,
    required=["name", "shape", "datatype"],
    properties={
        "name": Schema(type=OpenAPIType.STRING),
        "shape": Schema(type=OpenAPIType.ARRAY, items=Schema(type=OpenAPIType.INTEGER, minimum=0)),
        "datatype": Schema(type=OpenAPIType.STRING, enum=["FP32", "BYTES"]),
        "parameters": Schema(type=OpenAPIType.OBJECT),
        "data": Schema(type=OpenAPIType.ARRAY, description="Nested or flat, row-major.", items=Schema()),
    },
)
OUTPUT_SCHEMA = Schema(
    type=OpenAPIType.OBJECT,
    required=["name"],
    properties={
        "name": Schema(
            type=OpenAPIType.STRING, enum=["probabilities", "logits", "label", "number", "confidence", "reading"]
        ),
        "parameters": Schema(
            type=OpenAPIType.OBJECT,
            properties={
                "binary_data": Schema(type=OpenAPIType.BOOLEAN),
                "classification": Schema(type=OpenAPIType.INTEGER, minimum=0),
            },
        ),
    },
)
INFER_SCHEMA = Schema(
    type=OpenAPIType.OBJECT,
    required=["inputs"],
    properties={
        "id": Schema(type=OpenAPIType.STRING),
        "parameters": Schema(type=OpenAPIType.OBJECT),
        "inputs": Schema(type=OpenAPIType.ARRAY, items=TENSOR_SCHEMA, min_items=1, max_items=1),
        "outputs": Schema(type=OpenAPIType.ARRAY, items=OUTPUT_SCHEMA),
    },
)
INDEX_SCHEMA = Schema(type=OpenAPIType.OBJECT, properties={"ready": Schema(type=OpenAPIType.BOOLEAN, default=False)})


def json_body(schema: Schema, **examples: Any) -> OpenAPIMediaType:
    """Describe a JSON body with examples by name."""
    return OpenAPIMediaType(schema, examples={name: Example(value=value) for name, value in examples.items()})


@dataclass
class PredictOperation(Operation):
    """The three forms of body that `/predict` takes."""

    def __post_init__(self) -> None:
        """Describe the body, which the handler reads for itself."""
        content = {
            JSON: json_body(PREDICT_SCHEMA, seven={"image": SEVEN, "debug": False}),
            "multipart/form-data": OpenAPIMediaType(FORM_SCHEMA),
            **{f"image/{kind.lower()}": OpenAPIMediaType(BINARY_SCHEMA) for kind in FORMATS},
        }
        self.request_body = RequestBody(content=content, required=True)
        self.parameters = [
            Parameter(
                name="debug",
                param_in="query",
                description="Like `debug` in JSON, for an image as the body.",
                schema=Schema(type=OpenAPIType.STRING, enum=["true", "false"]),
            )
        ]


@dataclass
class ReadOperation(Operation):
    """The forms of body that `/predict` takes, or strokes."""

    def __post_init__(self) -> None:
        """Describe the body, which the handler reads for itself."""
        ten = [[[60, 80], [60, 200]], [[150, 90], [110, 140], [150, 190], [190, 140], [150, 90]]]
        self.request_body = RequestBody(
            content={
                JSON: json_body(
                    Schema(one_of=[NUMBER_IMAGE_SCHEMA, STROKES_SCHEMA]),
                    seven={"image": SEVEN},
                    ten={"strokes": ten, "width": CANVAS_SIZE, "height": CANVAS_SIZE},
                ),
                "multipart/form-data": OpenAPIMediaType(NUMBER_FORM_SCHEMA),
                **{f"image/{kind.lower()}": OpenAPIMediaType(BINARY_SCHEMA) for kind in FORMATS},
            },
            required=True,
        )


@dataclass
class FeedbackOperation(Operation):
    """A drawing and its digit."""

    def __post_init__(self) -> None:
        """Describe the body, which the handler reads for itself."""
        example = {"name": "mifz4q-3x8k2a", "label": "1", "strokes": [[[140, 40], [140, 240]]]}
        self.request_body = RequestBody(content={JSON: json_body(FEEDBACK_SCHEMA, one=example)}, required=True)


@dataclass
class InferOperation(Operation):
    """JSON, or JSON followed by raw tensors, in and out."""

    def __post_init__(self) -> None:
        """Describe both bodies, which the handler reads and writes for itself."""
        answer = (self.responses or {}).get("200")
        if isinstance(answer, OpenAPIResponse) and answer.content is not None:
            answer.content["application/octet-stream"] = OpenAPIMediaType(BINARY_SCHEMA)
        blank = {"name": "image", "shape": [1, 28, 28, 1], "datatype": "FP32", "data": [0.0] * 784}
        self.request_body = RequestBody(
            content={
                JSON: json_body(INFER_SCHEMA, blank={"inputs": [blank]}),
                "application/octet-stream": OpenAPIMediaType(BINARY_SCHEMA),
            },
            required=True,
        )
        self.parameters = [
            *(self.parameters or []),
            Parameter(
                name="Inference-Header-Content-Length",
                param_in="header",
                description="Length of the JSON where raw tensors follow it; 0: one raw input and nothing else.",
                schema=Schema(type=OpenAPIType.INTEGER, minimum=0),
            ),
        ]


@dataclass
class IndexOperation(Operation):
    """An optional filter."""

    def __post_init__(self) -> None:
        """Describe the body, which the handler reads for itself."""
        self.request_body = RequestBody(content={JSON: json_body(INDEX_SCHEMA, ready={"ready": True})})
