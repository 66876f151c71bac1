"""Who is measured, and how each is started."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.speed.environments import REQUIREMENTS, ROOT, prepare_environment, prepare_ours

MODULES = "benchmarks.contenders"
OURS = "livedigit"
DEMONSTRATION = "fastapi_tensorflow"


class Contender(NamedTuple):
    """A server that answers `POST /predict` with a JSON data URL in, a digit out."""

    name: str
    """Also of its requirements and of its environment."""
    title: str
    command: Callable[[Path, int], list[str]]
    """From the environment's folder of programs and a port."""

    def prepare(self) -> Path:
        """Set its environment up and give its folder."""
        return prepare_ours() if self.name == OURS else prepare_environment(self.name, self.requirements)

    @property
    def requirements(self) -> Path:
        """Its exact versions."""
        return REQUIREMENTS / f"{self.name}.txt"


def module(*arguments: str) -> Callable[[Path, int], list[str]]:
    """Start a module of `benchmarks.contenders`: its name, then what follows the port."""
    name, *rest = arguments
    return lambda programs, port: [str(programs / "python"), "-m", f"{MODULES}.{name}", str(port), *rest]


def serve_ours(programs: Path, port: int) -> list[str]:
    """Start ours as it comes."""
    return [str(programs / "livedigit"), "serve", "--port", str(port)]


def serve_bentoml(programs: Path, port: int) -> list[str]:
    """Start BentoML's own command."""
    service = f"{MODULES}.bentoml_server:Digits"
    return [str(programs / "bentoml"), "serve", service, "--host", "127.0.0.1", "--port", str(port), "--quiet"]


def serve_mlserver(programs: Path, port: int) -> list[str]:
    """Start MLServer's own command, which takes its ports from the environment alone."""
    folder = ROOT / "benchmarks/contenders/mlserver_digits"
    ports = [f"MLSERVER_HTTP_PORT={port}", "MLSERVER_GRPC_PORT=0"]
    return ["env", *ports, str(programs / "mlserver"), "start", str(folder)]


CONTENDERS = (
    Contender(DEMONSTRATION, "FastAPI + TensorFlow", module("fastapi_server", "tensorflow")),
    Contender(OURS, "LiveDigit", serve_ours),
    Contender("fastapi_onnxruntime", "FastAPI + ONNX Runtime", module("fastapi_server", "onnxruntime")),
    Contender("litserve", "LitServe + ONNX Runtime", module("litserve_server")),
    Contender("bentoml", "BentoML + ONNX Runtime", serve_bentoml),
    Contender("mlserver", "MLServer + ONNX Runtime", serve_mlserver),
)


def contender_named(name: str) -> Contender:
    """Find a contender."""
    return next(contender for contender in CONTENDERS if contender.name == name)


def environment(contender: Contender) -> dict[str, str]:
    """Let the others find the shared modules, which ours has installed; settings are as they come, makers not told."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("LIVEDIGIT_", "PYTHON"))},
        **({} if contender.name == OURS else {"PYTHONPATH": str(ROOT)}),
        "BENTOML_DO_NOT_TRACK": "true",
        "ORT_DISABLE_TELEMETRY": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
