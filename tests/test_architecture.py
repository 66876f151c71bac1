"""The borders between the programs, checked on what importing really loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"tensorflow", "keras", "tf2onnx", "onnx", "matplotlib", "scipy"}
WEB = {"litestar", "uvicorn", "onnxruntime"}
LEAVES = [
    "service.contract",
    "service.errors",
    "service.files",
    "service.png",
    "service.preprocessing",
    "service.rendering",
    "service.versions",
]
READING = ["service.numbers.reading", "service.numbers.images", "service.numbers.strokes"]
"""A leaf as well, so that training can judge how numbers are read; built on the other leaves."""
SHARED = {
    *LEAVES,
    "service",
    "service.numbers",
    *(f"service.numbers.{path.stem}" for path in ROOT.glob("service/numbers/[!_]*.py")),
}


def loaded_by(*modules: str) -> set[str]:
    """Import modules in a fresh interpreter; every module that came along."""
    program = f"import sys, json\nfor name in {modules!r}: __import__(name)\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def modules_of(package: str) -> list[str]:
    paths = sorted((ROOT / package).rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def top_levels(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_nothing_under_service_loads_tensorflow_or_its_converters():
    assert top_levels(loaded_by(*modules_of("service"))) & (HEAVY | {"training", "export"}) == set()


@pytest.mark.parametrize("leaf", [*LEAVES, *READING])
def test_a_leaf_loads_no_web_framework_and_no_runtime(leaf):
    loaded = loaded_by(leaf)
    assert top_levels(loaded) & (HEAVY | WEB) == set()
    assert {name for name in loaded if name.partition(".")[0] == "service"} <= SHARED


def test_the_contract_needs_msgspec_alone():
    assert top_levels(loaded_by("service.contract")) & {"numpy", "PIL"} == set()


@pytest.mark.parametrize(("package", "other"), [("training", "export"), ("export", "training")])
def test_training_and_export_share_the_leaves_and_nothing_else(package, other):
    loaded = loaded_by(*modules_of(package))
    assert top_levels(loaded) & {other, "litestar"} == set()
    assert {name for name in loaded if name.partition(".")[0] == "service"} <= SHARED


@pytest.mark.parametrize("module", ["service.cli", "service.models_cli", "training.cli", "export.cli"])
def test_the_command_line_answers_without_loading_anything_heavy(module):
    assert top_levels(loaded_by(module)) & (HEAVY | WEB | {"numpy", "PIL"}) == set()
