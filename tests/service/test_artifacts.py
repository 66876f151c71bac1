from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from service.artifacts import GOLDEN_TOLERANCE, choose_version, list_substitutes, load_classifier
from service.errors import ArtifactError, ModelNotFound


def edit_json(path: Path, **changes: Any) -> None:
    document = json.loads(path.read_text())
    document.update(changes)
    path.write_text(json.dumps(document))


def edit_golden(version: Path, **changes: Any) -> None:
    """Change the first golden example and make the manifest agree."""
    path = version / "golden/golden.json"
    golden = json.loads(path.read_text())
    golden["examples"][0].update(changes)
    path.write_text(json.dumps(golden))
    record = json.loads((version / "manifest.json").read_text())["golden"]
    record["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    edit_json(version / "manifest.json", golden=record)


@pytest.fixture
def version(models_dir: Path) -> Path:
    return models_dir / "digits/1"


def test_the_committed_version_loads_and_repeats_its_golden_answers(published):
    classifier = load_classifier(published)
    assert classifier.manifest.labels == tuple("0123456789")
    assert classifier.manifest.parity.verdict == "agree"
    assert classifier.run(np.zeros((3, 28, 28, 1), np.float32)).logits.shape == (3, 10)


def test_one_flipped_byte_in_the_model_is_refused(version):
    model = bytearray((version / "model.onnx").read_bytes())
    model[len(model) // 2] ^= 1
    (version / "model.onnx").write_bytes(model)
    with pytest.raises(ArtifactError, match=r"sha256 .* the manifest says .*: export again"):
        load_classifier(version)


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "golden/golden.json"])
def test_a_missing_file_is_refused_by_name(version, name):
    (version / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        load_classifier(version)


def test_a_changed_golden_image_is_refused(version):
    image = next(path for path in (version / "golden").iterdir() if path.suffix == ".png")
    image.write_bytes(image.read_bytes() + b"\0")
    with pytest.raises(ArtifactError, match="sha256"):
        load_classifier(version)


def test_an_answer_beyond_the_tolerance_is_refused(version):
    example = json.loads((version / "golden/golden.json").read_text())["examples"][0]
    largest = max(map(abs, example["logits"]))
    logits = [example["logits"][0] + 2 * GOLDEN_TOLERANCE * largest, *example["logits"][1:]]
    edit_golden(version, logits=logits)
    with pytest.raises(ArtifactError, match="logits differ by"):
        load_classifier(version)


def test_another_label_is_refused(version):
    label = json.loads((version / "golden/golden.json").read_text())["examples"][0]["label"]
    edit_golden(version, label=str((int(label) + 1) % 10))
    with pytest.raises(ArtifactError, match="instead of"):
        load_classifier(version)


def test_another_number_of_logits_is_refused(version):
    edit_golden(version, logits=[1.0, 2.0])
    with pytest.raises(ArtifactError, match="2 logits, the model gives 10"):
        load_classifier(version)


def test_golden_logits_that_are_no_numbers_are_refused(version):
    """Every comparison with NaN is false, so a careless check would let it pass."""
    path = version / "golden/golden.json"
    golden = json.loads(path.read_text())
    golden["examples"][0]["logits"] = [None] * 10
    path.write_text(json.dumps(golden))
    record = json.loads((version / "manifest.json").read_text())["golden"]
    edit_json(version / "manifest.json", golden={**record, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    with pytest.raises(ArtifactError, match="Expected `float`"):
        load_classifier(version)


def test_a_manifest_of_a_newer_schema_is_refused_with_the_remedy(version):
    edit_json(version / "manifest.json", schema_version=99)
    with pytest.raises(ArtifactError, match=r"schema 99.*update LiveDigit"):
        load_classifier(version)


def test_a_manifest_with_a_field_that_we_do_not_know_still_loads(version):
    edit_json(version / "manifest.json", invented_later={"some": "thing"})
    assert load_classifier(version).manifest.version == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"schema_version": 1}',
        "\xff",
        '{"name": "\xff"}',
        pytest.param('{"a":' * 9999, id="deep"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused_by_name(version, text):
    (version / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        load_classifier(version)


@pytest.mark.parametrize("name", ["../1/model.onnx", "/etc/passwd", ""])
def test_a_manifest_cannot_name_a_file_outside_its_folder(version, name):
    record = json.loads((version / "manifest.json").read_text())["model"]
    edit_json(version / "manifest.json", model={**record, "file": name})
    with pytest.raises(ArtifactError, match="plain file name"):
        load_classifier(version)


def test_a_renamed_folder_is_refused(version):
    renamed = version.rename(version.with_name("2"))
    with pytest.raises(ArtifactError, match="renamed"):
        load_classifier(renamed)


def test_a_file_that_is_no_model_is_refused_in_one_line(version):
    (version / "model.onnx").write_bytes(b"not a model")
    record = json.loads((version / "manifest.json").read_text())["model"]
    digest = hashlib.sha256(b"not a model").hexdigest()
    edit_json(version / "manifest.json", model={**record, "sha256": digest})
    with pytest.raises(ArtifactError, match="ONNX Runtime refuses") as caught:
        load_classifier(version)
    assert "\n" not in str(caught.value)


def test_a_graph_with_other_tensors_than_the_manifest_says_is_refused(version):
    manifest = json.loads((version / "manifest.json").read_text())
    edit_json(version / "manifest.json", outputs=manifest["outputs"][:1])
    with pytest.raises(ArtifactError, match="has outputs"):
        load_classifier(version)
    inputs = [{**manifest["inputs"][0], "shape": ["batch", 32, 32, 1]}]
    edit_json(version / "manifest.json", inputs=inputs, outputs=manifest["outputs"])
    with pytest.raises(ArtifactError, match="has shape"):
        load_classifier(version)


@pytest.mark.parametrize("count", [3, 11])
def test_labels_that_are_not_as_many_as_the_outputs_are_refused(version, count):
    edit_json(version / "manifest.json", labels=[str(label) for label in range(count)])
    with pytest.raises(ArtifactError, match=f"manifest names {count} labels"):
        load_classifier(version)


@pytest.mark.parametrize("sizes", [{"frame_size": 32}, {"fit_size": 64}])
def test_a_pipeline_that_makes_what_the_model_does_not_take_is_refused(version, sizes):
    spec = json.loads((version / "manifest.json").read_text())["preprocessing"]
    edit_json(version / "manifest.json", preprocessing={**spec, **sizes})
    with pytest.raises(ArtifactError, match=r"preprocessing fits ink .* export again"):
        load_classifier(version)


def test_the_pinned_version_wins_over_the_highest_and_the_wanted_over_both(tmp_path):
    for name in ("1", "2", "10"):
        (tmp_path / "digits" / name).mkdir(parents=True)
    assert choose_version(tmp_path, "digits") == 10
    (tmp_path / "digits/pinned").write_text("2\n")
    assert choose_version(tmp_path, "digits") == 2
    assert choose_version(tmp_path, "digits", 1) == 1


def test_a_version_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(ModelNotFound, match="livedigit export"):
        choose_version(tmp_path, "digits")
    (tmp_path / "digits/1").mkdir(parents=True)
    with pytest.raises(ModelNotFound, match=r"\[1\], not 3"):
        choose_version(tmp_path, "digits", 3)
    (tmp_path / "digits/pinned").write_text("latest")
    with pytest.raises(ArtifactError, match="expected a version number"):
        choose_version(tmp_path, "digits")
    (tmp_path / "digits/pinned").write_text("9")
    with pytest.raises(ModelNotFound, match=r"\[1\], not 9, which is pinned: .* `unpin`"):
        choose_version(tmp_path, "digits")


@pytest.mark.parametrize(
    ("pin", "order"), [("", [4, 2, 1]), ("2", [2, 1, 4]), ("3", [2, 1, 4]), ("9", [4, 2, 1]), ("v2", [4, 2, 1])]
)
def test_the_highest_version_stands_in_but_one_above_the_pinned_only_as_a_last_resort(tmp_path, pin, order):
    for version in (1, 2, 4):
        (tmp_path / "digits" / str(version)).mkdir(parents=True)
    (tmp_path / "digits/pinned").write_text(pin)
    assert list_substitutes(tmp_path, "digits") == order


def test_the_manifest_survives_being_written_and_read(published):
    manifest = load_classifier(published).manifest
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=type(manifest)) == manifest
