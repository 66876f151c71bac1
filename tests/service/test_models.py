"""Swapping versions while serving."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import httpx
import pytest

from service.errors import ArtifactError, LiveDigitError, ModelNotFound, ModelUnavailable, UnknownModel
from service.metrics import Metrics
from service.models import ModelStore
from service.settings import Settings


def store(models_dir: Path, **settings: int) -> ModelStore:
    made = ModelStore(Settings(models_dir=str(models_dir), **settings))
    made.report_to(Metrics())
    made.load()
    return made


def served(models: ModelStore) -> int:
    return models.serving().manifest.version


def test_a_new_version_is_served_and_the_old_one_stays_loaded(models_dir, publish):
    models = store(models_dir)
    assert not models.refresh()
    publish(2)
    assert models.refresh()
    assert served(models) == 2
    assert models.version("1").manifest.version == 1


def test_a_spoilt_new_version_is_refused_and_the_old_one_goes_on(models_dir, caplog, publish, spoil):
    models = store(models_dir)
    spoil(publish(2))
    for _ in range(3):
        assert not models.refresh()
    assert served(models) == 1
    assert [(state.version, state.is_ready) for state in models.index()] == [(1, True), (2, False)]
    assert "sha256" in models.index()[1].reason
    assert caplog.text.count("version 2 is refused") == 1


def test_a_mended_version_is_taken_after_all(models_dir, publish, spoil):
    models = store(models_dir)
    version = publish(2)
    good = (version / "model.onnx").read_bytes()
    spoil(version)
    assert not models.refresh()
    (version / "model.onnx").write_bytes(good)
    assert models.refresh()
    assert [(state.version, state.reason) for state in models.index()] == [(1, ""), (2, "")]


def test_a_pin_takes_effect_while_serving_and_so_does_its_end(models_dir, publish):
    publish(2)
    models = store(models_dir)
    (models_dir / "digits/pinned").write_text("1")
    assert models.refresh()
    assert served(models) == 1
    (models_dir / "digits/pinned").unlink()
    assert models.refresh()
    assert served(models) == 2


def test_only_as_many_versions_stay_in_memory_as_the_settings_say(models_dir, publish):
    models = store(models_dir, loaded_versions=2)
    for version in range(2, 6):
        publish(version)
        assert models.refresh()
    assert sorted(models.loaded) == [4, 5]


def test_a_start_loads_the_served_version_and_the_highest_others(models_dir, publish, spoil):
    for version in (2, 3, 4):
        publish(version)
    spoil(models_dir / "digits/3")
    models = store(models_dir, model_version=1, loaded_versions=3)
    assert served(models) == 1
    assert sorted(models.loaded) == [1, 2, 4]


def test_a_spoilt_version_is_not_started_with(models_dir, spoil):
    spoil(models_dir / "digits/1")
    with pytest.raises(ArtifactError, match="sha256"):
        store(models_dir)


def test_a_folder_that_vanishes_changes_nothing(models_dir):
    models = store(models_dir)
    shutil.rmtree(models_dir)
    assert not models.refresh()
    assert served(models) == 1


def test_an_empty_start_is_filled_by_the_first_version(tmp_path, published):
    models = store(tmp_path)
    with pytest.raises(ModelUnavailable):
        models.serving()
    shutil.copytree(published, tmp_path / "digits/1")
    assert models.refresh()
    assert served(models) == 1


@pytest.mark.parametrize("number", ["2", "x", "-1", "1.0", "٣"])
def test_a_version_that_is_not_loaded_is_unknown(models_dir, number):
    with pytest.raises(UnknownModel, match=r"loaded: \[1\]"):
        store(models_dir).version(number)


def wait_for_version(url: str, version: int) -> None:
    for _ in range(2000):
        if httpx.get(f"{url}/health").json()["version"] == version:
            return
    pytest.fail(f"version {version} is not served")


def test_a_running_server_swaps_by_itself(start_server, models_dir, publish):
    server = start_server("--models-dir", str(models_dir), "--model-poll-s", "0.05")
    publish(2)
    wait_for_version(server.url, 2)
    assert httpx.get(f"{server.url}/v2/models/digits/versions/1/ready").status_code == 200


def test_a_running_server_swaps_on_sighup(start_server, models_dir, publish):
    server = start_server("--models-dir", str(models_dir))
    publish(2)
    server.process.send_signal(signal.SIGHUP)
    wait_for_version(server.url, 2)


def test_a_replacement_makes_do_with_the_highest_version_that_passes(models_dir, publish, spoil):
    for version in (2, 3):
        publish(version)
    spoil(models_dir / "digits/3")
    models = ModelStore(Settings(models_dir=str(models_dir)))
    with pytest.raises(ArtifactError):
        models.load()
    models.load(or_another=True)
    assert served(models) == 2
    assert {state.version: state.is_ready for state in models.index()} == {1: True, 2: True, 3: False}
    assert "sha256" in models.index()[-1].reason


@pytest.mark.parametrize("pin", ["9", "2", "v2"])
def test_a_start_ends_where_what_is_pinned_cannot_be_served(models_dir, publish, spoil, pin):
    spoil(publish(2))
    (models_dir / "digits/pinned").write_text(pin)
    with pytest.raises(LiveDigitError):
        store(models_dir)


@pytest.mark.parametrize(("pin", "version"), [("9", 4), ("3", 2), ("v2", 4)])
def test_a_replacement_serves_another_version_where_what_is_pinned_cannot_be_served(
    models_dir, publish, spoil, pin, version
):
    for number in (2, 3, 4):
        publish(number)
    spoil(models_dir / "digits/3")
    (models_dir / "digits/pinned").write_text(pin)
    models = ModelStore(Settings(models_dir=str(models_dir)))
    models.load(or_another=True)
    assert served(models) == version
    assert not models.refresh()
    assert served(models) == version


def test_a_reason_that_stays_the_same_is_told_once(models_dir, caplog):
    models = store(models_dir)
    pin = models_dir / "digits/pinned"
    for text in ("9", "v2", "9"):
        pin.write_text(text)
        for _ in range(3):
            assert not models.refresh()
    assert [caplog.text.count(words) for words in ("not 9", "expected a version number")] == [2, 1]
    assert served(models) == 1


def test_an_empty_start_is_told_once(tmp_path, caplog):
    models = store(tmp_path)
    for _ in range(3):
        assert not models.refresh()
    assert caplog.text.count("holds no version") == 1


def test_a_replacement_does_not_serve_another_version_than_the_one_named(models_dir, publish, spoil):
    publish(2)
    spoil(models_dir / "digits/2")
    with pytest.raises(ArtifactError):
        ModelStore(Settings(models_dir=str(models_dir), model_version=2)).load(or_another=True)
    with pytest.raises(ModelNotFound):
        ModelStore(Settings(models_dir=str(models_dir), model_version=9)).load(or_another=True)


def test_a_replacement_needs_some_version_that_passes(models_dir, spoil):
    spoil(models_dir / "digits/1")
    with pytest.raises(ArtifactError, match="no version"):
        ModelStore(Settings(models_dir=str(models_dir))).load(or_another=True)
