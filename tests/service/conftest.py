from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from PIL import Image, ImageDraw

from service.app import create_app
from service.settings import Settings


@pytest.fixture(scope="session")
def published(repo_root: Path) -> Path:
    """The committed version 1."""
    return repo_root / "artifacts/models/digits/1"


@pytest.fixture
def models_dir(tmp_path: Path, published: Path) -> Path:
    """A folder of models of one's own, to spoil."""
    shutil.copytree(published, tmp_path / "models/digits/1")
    return tmp_path / "models"


@pytest.fixture
def publish(models_dir: Path) -> Callable[[int], Path]:
    """Publish version 1 once more under another number, whole at once as `livedigit export` does."""

    def published_as(version: int) -> Path:
        temporary = models_dir / "digits" / f".publishing-{version}"
        shutil.copytree(models_dir / "digits/1", temporary)
        manifest = json.loads((temporary / "manifest.json").read_text())
        (temporary / "manifest.json").write_text(json.dumps({**manifest, "version": version}))
        return temporary.rename(models_dir / "digits" / str(version))

    return published_as


@pytest.fixture(scope="session")
def spoil() -> Callable[[Path], None]:
    """Damage a version's model."""

    def spoilt(version: Path) -> None:
        (version / "model.onnx").write_bytes(b"spoilt")

    return spoilt


@pytest.fixture(scope="session")
def seven() -> Image.Image:
    """A seven as the canvas would draw it."""
    image = Image.new("L", (280, 280), 10)
    pen = ImageDraw.Draw(image)
    pen.line([(80, 70), (200, 70), (130, 220)], fill=255, width=20, joint="curve")
    return image


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Encode an image in a format."""

    def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    return encoded


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient[Litestar]]:
    """A client of an application with the committed model."""
    with TestClient(create_app(Settings())) as running:
        yield running
