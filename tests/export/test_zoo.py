"""The conformance set: what Keras users build is exported, agrees, and raises no false alarm.

`LIVEDIGIT_ZOO_SEEDS` sets how many random initializations of each model are tried, `LIVEDIGIT_ZOO_FIRST_SEED` the
first of them; CI tries 20 at night. The large models take half a minute each and run where `CI` is set.
`--zoo-table FILE` keeps the figures.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from export.compare import choose_inputs, compare, prepare_contest
from export.conversion import convert_source
from export.convert import DEFAULT_OPSET, OPSETS
from export.inputs import image_shape, noise_inputs
from export.parity import ParityReport
from export.runtimes import OnnxRuntime
from export.source import open_source, trace_keras_model

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

Rows = list[tuple[object, ...]]

FIRST_SEED = int(os.environ.get("LIVEDIGIT_ZOO_FIRST_SEED", "0"))
SEEDS = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("LIVEDIGIT_ZOO_SEEDS", "1")))
SMALL = (
    "activations",
    "augmentation",
    "batch_normalization",
    "custom_layer",
    "digits",
    "dilated",
    "ensemble",
    "fully_convolutional",
    "group_normalization",
    "grouped_convolution",
    "inception",
    "long_memory",
    "mixed_precision",
    "nested",
    "normalization",
    "open_size",
    "open_size_deep",
    "padding_and_cropping",
    "raw_logits",
    "recurrent",
    "residual",
    "resizing",
    "resizing_nearest",
    "separable",
    "softmax_layer",
    "squeeze_and_excite",
    "subclassed",
    "transposed_convolution",
    "upsampling",
    "vision_transformer",
    "yes_or_no",
)
LARGE = ("efficientnet_b0", "mobilenet_v2")
BOOKKEEPING = {"Identity", "Dropout", "Shape", "Gather", "Slice", "Concat", "Cast"}
"""What a dynamic Flatten and training leave behind."""
NEED_SHAPES = {
    "activations",
    "inception",
    "long_memory",
    "nested",
    "padding_and_cropping",
    "recurrent",
    "upsampling",
    "vision_transformer",
}
"""Models that concatenate, crop or slice for a reason of their own."""


def export_and_compare(
    zoo: ModuleType, name: str, seed: int, folder: Path, opset: int = DEFAULT_OPSET
) -> tuple[ParityReport, list[str]]:
    path = folder / "model.keras"
    zoo.build(getattr(zoo, name), seed).save(path)
    source = open_source(str(path), folder)
    converted = convert_source(source, opset)
    assert converted.model.opset_import[0].version == opset
    contest = prepare_contest(source, *converted, converted.model)
    report = compare(contest, choose_inputs(contest, None), (1, 2, 7, 64))
    return report, [node.op_type for node in converted.model.graph.node]


def export_in_zoo(zoo: ModuleType, rows: Rows, name: str, seed: int, folder: Path) -> tuple[ParityReport, list[str]]:
    start = time.monotonic()
    report, operators = export_and_compare(zoo, name, seed, folder)
    eps = (f"{report.differences.onnx_eps:.1f}", f"{report.differences.tensorflow_eps:.1f}")
    rows.append((name, seed, len(operators), *eps, report.verdict, f"{time.monotonic() - start:.1f}"))
    return report, operators


def test_every_builder_is_listed(zoo: ModuleType) -> None:
    assert [builder.__name__ for builder in zoo.SMALL] == sorted(builder.__name__ for builder in zoo.SMALL)
    assert tuple(builder.__name__ for builder in zoo.SMALL) == SMALL
    assert tuple(builder.__name__ for builder in zoo.LARGE) == LARGE


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SMALL)
def test_a_small_model_is_exported_and_agrees(
    zoo: ModuleType, zoo_rows: Rows, tmp_path: Path, name: str, seed: int
) -> None:
    report, operators = export_in_zoo(zoo, zoo_rows, name, seed, tmp_path)
    assert report.verdict == "agree", report.summary
    assert report.inputs[-1].name == "near-ties"
    if name not in NEED_SHAPES:
        assert not BOOKKEEPING & set(operators)


@pytest.mark.skipif(not os.environ.get("CI"), reason="large models run in CI")
@pytest.mark.parametrize("seed", SEEDS[:2])
@pytest.mark.parametrize("name", LARGE)
def test_a_large_model_is_exported_and_agrees(
    zoo: ModuleType, zoo_rows: Rows, tmp_path: Path, name: str, seed: int
) -> None:
    report, _ = export_in_zoo(zoo, zoo_rows, name, seed, tmp_path)
    assert report.verdict == "agree", report.summary


@pytest.mark.parametrize("opset", [OPSETS[0], OPSETS[-1]])
@pytest.mark.parametrize("name", ["resizing", "vision_transformer"])
def test_the_oldest_and_the_newest_operator_set_agree(zoo: ModuleType, tmp_path: Path, name: str, opset: int) -> None:
    report, _ = export_and_compare(zoo, name, 0, tmp_path, opset)
    assert report.verdict == "agree", report.summary


@pytest.mark.parametrize("name", ["ensemble", "fully_convolutional"])
def test_probabilities_that_no_last_softmax_makes_are_published_as_they_are(
    zoo: ModuleType, tmp_path: Path, name: str
) -> None:
    model = zoo.build(getattr(zoo, name), 0)
    converted = convert_source(trace_keras_model(name, model, tmp_path))
    images = noise_inputs(image_shape(converted.model)).images
    published = OnnxRuntime(converted.data).answer(images).probabilities
    assert np.allclose(published, model.predict(images, verbose=0), rtol=0, atol=1e-6)


def test_the_digits_network_becomes_eighteen_nodes(zoo: ModuleType, tmp_path: Path) -> None:
    """tf2onnx alone gives 24: a Flatten that computes its shape."""
    _, operators = export_and_compare(zoo, "digits", 0, tmp_path)
    assert len(operators) <= 18
    assert operators.count("Transpose") == 1
