"""One exported model, shared by the whole folder: TensorFlow and a conversion take seconds each."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from export.pytest_plugin import parity

__all__ = ["parity"]

HERE = Path(__file__).parent


class Exported(NamedTuple):
    """A Keras model with what the exporter makes of it."""

    model: Any
    keras_file: Path
    source: Any
    converted: Any
    contest: Any


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--zoo-table", help="write the zoo's figures to this file, in Markdown")


@pytest.fixture(scope="session")
def zoo_rows(request: pytest.FixtureRequest) -> Iterator[list[tuple[object, ...]]]:
    """Model, seed, nodes, errors in eps, verdict and seconds of each comparison."""
    rows: list[tuple[object, ...]] = []
    yield rows
    if path := request.config.getoption("--zoo-table", None):
        head = ("Model", "Seed", "Nodes", "ONNX Runtime, eps", "TensorFlow, eps", "Verdict", "Seconds")
        table = [head, ("---",) * len(head), *sorted(rows)]
        lines = [f"| {' | '.join(map(str, row))} |\n" for row in table]
        Path(path).write_text("".join(lines), encoding="utf-8")


@pytest.fixture(scope="session")
def zoo() -> ModuleType:
    """The builders of `zoo.py`."""
    from export.quiet import import_tensorflow

    import_tensorflow()
    specification = importlib.util.spec_from_file_location("zoo", HERE / "zoo.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def export_from_zoo(zoo: ModuleType, name: str, folder: Path) -> Exported:
    from export.compare import prepare_contest
    from export.conversion import convert_source
    from export.source import open_source

    keras_file = folder / f"{name}.keras"
    with keras_warnings_ignored():
        model = zoo.build(getattr(zoo, name), seed=3)
        model.save(keras_file)
        source = open_source(str(keras_file), folder)
        converted = convert_source(source)
        return Exported(model, keras_file, source, converted, prepare_contest(source, *converted, converted.model))


@contextmanager
def keras_warnings_ignored() -> Iterator[None]:
    """Keras 3.15 asks NumPy 2.4 for copies in a way that will go; a session fixture may meet it in any test."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


@pytest.fixture(scope="session")
def digits(zoo: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The project's network with random weights."""
    return export_from_zoo(zoo, "digits", tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def normalized(zoo: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A network with batch normalization and global pooling."""
    return export_from_zoo(zoo, "batch_normalization", tmp_path_factory.mktemp("normalized"))


@pytest.fixture(scope="session")
def published(digits: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits network as an artifact."""
    from export.exporting import ExportOrder, export_model
    from service.preprocessing import DIGITS

    order = ExportOrder(
        model=str(digits.keras_file), name="digits", out=tmp_path_factory.mktemp("models"), preprocessing=DIGITS
    )
    with keras_warnings_ignored():
        folder = export_model(order).folder
    assert folder is not None
    return folder
