"""Smaller forms of a model: int8 and fp16, published beside the float32 model under a name of their own, never instead.

A variant computes another function, so parity is not the question; whether it still decides alike is. It is
published only if accuracy falls by at most 0.1 points and no decision turns whose margin exceeds what the variant was
seen to move on the calibration images.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from export.canonical import canonicalize, to_bytes
from export.conversion import Converted
from export.errors import Disagreement, UsageError
from export.graph import IMAGE
from export.inputs import LabelledImages
from export.parity import Array, margins
from export.quiet import silent_stderr
from export.runtimes import Images, OnnxRuntime, answer_in_batches

if TYPE_CHECKING:
    import onnx

Variant = Literal["int8", "fp16"]

CALIBRATION_IMAGES = 256
EVALUATION_IMAGES = 1000
"""At least: 0.1 points are one image in a thousand."""
ACCURACY_LOSS = 0.001
LOGIT_BOUND = "variant_logit_bound"
"""The manifest's figure: decisions of float32 by a larger margin stay as they are."""
BATCH = 64
QUANTIZED_OPERATORS = ["Conv", "MatMul", "Gemm"]
"""Where the weights are; the rest gains nothing and rounds the logits."""


class VariantJudgement(NamedTuple):
    """How a variant decides, held against the float32 model."""

    accuracy: float
    accuracy_float32: float
    turned: int
    """Decisions that differ."""
    turned_beyond_bound: int
    """Of these, the ones that float32 had made by more than `bound`."""
    bound: float
    """Twice the largest change of a logit on the calibration images."""
    images: int

    @property
    def passed(self) -> bool:
        """Say whether the variant may be published."""
        return self.accuracy >= self.accuracy_float32 - ACCURACY_LOSS and not self.turned_beyond_bound


class VariantResult(NamedTuple):
    """A variant, judged."""

    kind: Variant
    converted: Converted
    judgement: VariantJudgement
    calibration_sha256: str


def build_variant(kind: Variant, converted: Converted, data: LabelledImages) -> VariantResult:
    """Make a variant and judge it on labelled images. Raises `Disagreement` or `UsageError`."""
    if len(data.images) < CALIBRATION_IMAGES + EVALUATION_IMAGES:
        raise UsageError(
            f"a variant needs {CALIBRATION_IMAGES} labelled images to calibrate and {EVALUATION_IMAGES} to judge; "
            f"--data holds {len(data.images)}"
        )
    calibration = data.images[:CALIBRATION_IMAGES]
    evaluation = LabelledImages(data.images[CALIBRATION_IMAGES:], data.labels[CALIBRATION_IMAGES:])
    model = canonicalize(MAKERS[kind](converted.model, calibration))
    variant = Converted(model, to_bytes(model))
    judgement = judge_variant(
        *(run_pair(converted, variant, calibration)),
        *(run_pair(converted, variant, evaluation.images)),
        evaluation.labels,
    )
    if not judgement.passed:
        raise Disagreement(f"{kind}: {describe_judgement(judgement)}. Nothing was published")
    return VariantResult(
        kind, variant, judgement, hashlib.sha256(np.ascontiguousarray(calibration).tobytes()).hexdigest()
    )


def run_pair(converted: Converted, variant: Converted, images: Images) -> tuple[Array, Array]:
    """Answer images in float32 and with the variant; the logits of both."""
    single, small = (answer_in_batches(OnnxRuntime(each.data), images, BATCH) for each in (converted, variant))
    return single.logits, small.logits


def judge_variant(
    calibration: Array, calibration_small: Array, single: Array, small: Array, labels: NDArray[np.int64]
) -> VariantJudgement:
    """Count what a variant decides differently; logits (N, classes), labels (N,)."""
    bound = 2 * float(np.abs(calibration_small - calibration).max())
    turned = single.argmax(axis=1) != small.argmax(axis=1)
    return VariantJudgement(
        accuracy=float((small.argmax(axis=1) == labels).mean()),
        accuracy_float32=float((single.argmax(axis=1) == labels).mean()),
        turned=int(turned.sum()),
        turned_beyond_bound=int((turned & (margins(single) > bound)).sum()),
        bound=bound,
        images=len(labels),
    )


def describe_judgement(judgement: VariantJudgement) -> str:
    """Say how a variant decides."""
    return (
        f"accuracy {judgement.accuracy:.2%} against {judgement.accuracy_float32:.2%} on {judgement.images:,} images "
        f"(at most {ACCURACY_LOSS:.1%} may be lost), {judgement.turned} decisions turned, "
        f"{judgement.turned_beyond_bound} of them beyond the bound of {judgement.bound:.2g}"
    )


def make_fp16(model: onnx.ModelProto, calibration: Images) -> onnx.ModelProto:  # noqa: ARG001 - one signature for all
    """Store and compute in float16; inputs and outputs stay float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return cast("onnx.ModelProto", convert_float_to_float16(copy_model(model), keep_io_types=True))


def make_int8(model: onnx.ModelProto, calibration: Images) -> onnx.ModelProto:
    """Quantize weights per channel and activations per tensor, calibrated on images; standard QDQ operators."""
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory() as work, silent_stderr():
        path = Path(work) / "int8.onnx"
        quantize_static(
            copy_model(model),
            path,
            CalibrationImages(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=QUANTIZED_OPERATORS,
        )
        return onnx.load(path)


MAKERS = {"fp16": make_fp16, "int8": make_int8}


class CalibrationImages:
    """Feeds images to the quantizer, as its `CalibrationDataReader` does."""

    def __init__(self, images: Images) -> None:
        self.batches = iter([{IMAGE: images[start : start + BATCH]} for start in range(0, len(images), BATCH)])

    def get_next(self) -> dict[str, Any] | None:
        """Hand out the next batch."""
        return next(self.batches, None)


def copy_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a model, because the converters write into what they are given."""
    import onnx

    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied
