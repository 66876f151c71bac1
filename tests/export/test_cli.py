"""The commands as a user and a CI job meet them: exit codes, one line per error, reports."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

from export.inputs import read_drawings
from export.parity import ParityReport
from export.report import remove_reproduction
from service.cli import livedigit

onnx = pytest.importorskip("onnx")
pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(livedigit, [str(argument) for argument in arguments])


def exit_code(result: Result) -> int:
    """As the process would end: expected errors carry theirs."""
    return int(getattr(result.exception, "exit_code", result.exit_code))


def message(result: Result) -> str:
    assert "\n" not in str(result.exception)
    return str(result.exception)


@pytest.fixture
def scaled(published: Path, tmp_path: Path) -> Path:
    """The published graph with one filter a thousandth larger."""
    model = onnx.load(published / "model.onnx")
    kernel = next(tensor for tensor in model.graph.initializer if tensor.name == "Conv_1.weight_1")
    values = onnx.numpy_helper.to_array(kernel).copy()
    values[5] *= np.float32(1.001)
    kernel.CopyFrom(onnx.numpy_helper.from_array(values, kernel.name))
    onnx.save(model, tmp_path / "scaled.onnx")
    return tmp_path / "scaled.onnx"


def test_an_artifact_holds_what_its_manifest_says(published: Path) -> None:
    from export.pipeline_check import read_artifact

    manifest = read_artifact(published / "model.onnx")
    assert manifest is not None
    assert (manifest.name, manifest.version) == ("digits", 1)
    assert [tensor.name for tensor in manifest.outputs] == ["logits", "probabilities"]
    assert manifest.inputs[0].shape == ("batch", 28, 28, 1)
    assert manifest.parity.verdict == "agree"
    assert manifest.golden.examples == len(read_drawings())
    assert json.loads((published / "parity.json").read_text())["verdict"] == "agree"
    assert manifest.model.sha256 in (published / "MODEL_CARD.md").read_text()


def test_the_file_alone_says_what_its_labels_are(published: Path) -> None:
    properties = {entry.key: entry.value for entry in onnx.load(published / "model.onnx").metadata_props}
    assert json.loads(properties["labels"]) == [str(digit) for digit in range(10)]
    assert json.loads(properties["preprocessing"])["ink_threshold"] == 20
    assert len(properties["weights_sha256"]) == 64


def test_the_service_serves_what_export_publishes(published: Path) -> None:
    from service.artifacts import load_classifier

    assert load_classifier(published).manifest.name == "digits"


def test_a_model_of_tensors_is_published_without_a_pipeline(normalized: Any, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("ant\nbee\ncat\ndog\neel\n", encoding="utf-8-sig")
    result = run(
        "export", normalized.keras_file, "--name", "pets", "--out", tmp_path / "models", "--labels", labels, "--json"
    )
    assert exit_code(result) == 0, result.output
    manifest = json.loads((tmp_path / "models" / "pets" / "1" / "manifest.json").read_text())
    assert manifest["labels"] == ["ant", "bee", "cat", "dog", "eel"]
    assert manifest["preprocessing"] is None
    assert json.loads(result.stdout)["verdict"] == "agree"
    golden = tmp_path / "models" / "pets" / "1" / "golden"
    assert np.load(golden / "tensor-0.npy", allow_pickle=False).shape == (32, 32, 3)


def test_a_dry_run_publishes_nothing(digits: Any, tmp_path: Path) -> None:
    result = run("export", digits.keras_file, "--name", "digits", "--out", tmp_path / "models", "--dry-run")
    assert exit_code(result) == 0, result.output
    assert "dry run" in result.output
    assert not (tmp_path / "models").exists()


def test_a_layer_that_is_converted_wrongly_is_named(tmp_path: Path) -> None:
    """tf2onnx takes the mean over an area for its first pixel."""
    from export.quiet import import_tensorflow

    import_tensorflow()
    import keras

    layers = keras.layers
    network = [layers.Input((12, 12, 1)), layers.Resizing(6, 6, "area", name="shrink"), layers.Flatten()]
    keras.Sequential([*network, layers.Dense(3, "softmax")]).save(tmp_path / "area.keras")
    result = run("export", tmp_path / "area.keras", "--name", "area", "--out", tmp_path / "models")
    assert exit_code(result) == 1
    assert "first at layer `shrink`" in message(result)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--name", "../evil"], 2, "--name"),
        (["--name", "d", "--labels", "{three}"], 2, "3 labels"),
        (["--name", "d", "--labels", "{twins}"], 2, "same"),
        (["--name", "d", "--labels", "{file}"], 2, "0 labels"),
        (["--name", "d", "--labels", "nowhere.txt"], 2, "nowhere.txt"),
        (["--name", "d", "--version", "1", "--out", "{taken}"], 2, "never overwritten"),
        (["--name", "d", "--version", "1", "--out", "{taken}", "--dry-run"], 2, "never overwritten"),
        (["--name", "d", "--signature", "serve"], 2, "--signature"),
        (["--name", "d", "--data", "{file}"], 2, "--variant"),
        (["--name", "d", "--out", "{file}"], 2, "not a folder"),
    ],
)
def test_a_wrong_order_is_refused(digits: Any, tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    (tmp_path / "three").write_text("a\nb\nc\n")
    (tmp_path / "twins").write_text("a\n" * 10)
    (tmp_path / "file").write_text("")
    (tmp_path / "taken" / "d" / "1").mkdir(parents=True)
    filled = [argument.replace("{", f"{tmp_path}/").replace("}", "") for argument in arguments]
    result = run(
        "export", digits.keras_file, *(["--out", tmp_path / "models"] if "--out" not in filled else []), *filled
    )
    assert exit_code(result) == code
    assert words in message(result)
    assert not (tmp_path / "models").exists()


def test_labels_that_contradict_the_training_run(repo_root: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(map(str, range(9, -1, -1))))
    model = repo_root / "artifacts" / "saved_models" / "digits" / "1"
    result = run("export", model, "--name", "digits", "--labels", labels, "--out", tmp_path / "models")
    assert exit_code(result) == 2
    assert "run.json" in message(result)
    assert not (tmp_path / "models").exists()


def test_preprocessing_that_does_not_fit_the_model(normalized: Any, tmp_path: Path) -> None:
    result = run("export", normalized.keras_file, "--name", "d", "--preprocessing", "digits", "--out", tmp_path)
    assert exit_code(result) == 2
    assert "(28, 28, 1)" in message(result)


@pytest.mark.parametrize("batches", ["", "1,x", "0", "99999999", "9" * 5000, "²"])
def test_batch_sizes_that_cannot_be_compared_at(batches: str) -> None:
    result = run("verify", "any.keras", "any.onnx", "--batch", batches)
    assert exit_code(result) == 2
    assert "expected numbers from 1 to 999" in message(result)


def test_verify_agrees_and_writes_its_reports(digits: Any, published: Path, tmp_path: Path) -> None:
    junit, markdown = tmp_path / "reports" / "junit.xml", tmp_path / "reports" / "summary.md"
    result = run(
        "verify",
        digits.keras_file,
        published / "model.onnx",
        "--batch",
        "1,7",
        "--junit",
        junit,
        "--markdown",
        markdown,
    )
    assert exit_code(result) == 0, result.output
    assert result.stdout.startswith("They agree")
    suite = ET.parse(junit).getroot()  # noqa: S314 - our own file
    assert suite.get("failures") == "0"
    assert int(suite.get("tests", "0")) == len(suite) > 20
    assert "They agree" in markdown.read_text()


def test_the_verdict_is_told_where_its_report_cannot_be_written(digits: Any, published: Path) -> None:
    """Writing to a full disk raises an error that names no file."""
    result = run("verify", digits.keras_file, published / "model.onnx", "--batch", "1", "--junit", "/dev/full")
    assert exit_code(result) == 2
    assert message(result).startswith("/dev/full: ")
    assert result.stdout.startswith("They agree")


def test_verify_says_where_two_models_part(digits: Any, scaled: Path, tmp_path: Path) -> None:
    folder, junit = tmp_path / "report", tmp_path / "junit.xml"
    result = run("verify", digits.keras_file, scaled, "--batch", "2", "--report", folder, "--junit", junit)
    assert exit_code(result) == 1
    assert result.stdout.startswith("Yes, a bug")
    assert digits.model.layers[3].name in result.stdout
    report = json.loads((folder / "parity.json").read_text())
    assert report["verdict"] == "disagree"
    assert digits.model.layers[3].name in report["first_difference"]
    assert int(ET.parse(junit).getroot().get("failures", "0")) > 0  # noqa: S314 - our own file


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 3e38])
def test_an_answer_that_is_no_number_is_reported_in_numbers(
    digits: Any, published: Path, tmp_path: Path, wrong: float
) -> None:
    """JSON has no infinity, and NumPy's warnings are errors here."""
    model = onnx.load(published / "model.onnx")
    kernel = next(tensor for tensor in model.graph.initializer if tensor.name == "Conv_1.weight_1")
    values = onnx.numpy_helper.to_array(kernel).copy()
    values.flat[0] = wrong
    kernel.CopyFrom(onnx.numpy_helper.from_array(values, kernel.name))
    onnx.save(model, tmp_path / "broken.onnx")
    result = run("verify", digits.keras_file, tmp_path / "broken.onnx", "--batch", "2", "--report", tmp_path / "report")
    assert exit_code(result) == 1, result.output
    assert result.stdout.startswith("Yes, a bug")
    assert "infinity or not-a-number" in result.stdout
    report = msgspec.json.decode((tmp_path / "report" / "parity.json").read_bytes(), type=ParityReport)
    assert report.first_difference


def test_a_reproduction_reproduces(digits: Any, scaled: Path, tmp_path: Path) -> None:
    run("verify", digits.keras_file, scaled, "--batch", "1", "--report", tmp_path / "report")
    assert str(tmp_path / "report" / "worst.npz") in (tmp_path / "report" / "README.md").read_text()
    subgraph = onnx.load(tmp_path / "report" / "subgraph.onnx")
    assert [node.op_type for node in subgraph.graph.node].count("Conv") == 2
    again = run(
        "verify",
        digits.keras_file,
        tmp_path / "report" / "model.onnx",
        "--data",
        tmp_path / "report" / "worst.npz",
        "--batch",
        "1",
        "--json",
    )
    assert exit_code(again) == 1
    results = json.loads(again.stdout)["results"]
    assert any(not each["passed"] and each["input_set"] == "worst.npz" for each in results)


def test_a_reproduction_repeated_into_its_own_folder_is_told_where_to(digits: Any, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "README.md").write_text("# Reproduction")
    (folder / "model.onnx").write_text("")
    (folder / "worst.npz").write_text("")
    compared = (folder / "model.onnx", "--data", folder / "worst.npz")
    result = run("verify", digits.keras_file, *compared, "--report", folder)
    assert exit_code(result) == 2
    assert str(folder / "again") in message(result)
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "model.onnx", "worst.npz"]


def test_a_report_of_agreement_leaves_no_reproduction_of_an_earlier_one(
    digits: Any, published: Path, scaled: Path, tmp_path: Path
) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "junit.xml").write_text("")
    run("verify", digits.keras_file, scaled, "--batch", "1", "--report", tmp_path / "report")
    run("verify", digits.keras_file, published / "model.onnx", "--batch", "1", "--report", tmp_path / "report")
    assert sorted(file.name for file in (tmp_path / "report").iterdir()) == ["junit.xml", "parity.json"]


def test_only_a_reproduction_is_removed(tmp_path: Path) -> None:
    files: list[str] = ["README.md", "model.onnx", "worst.npz"]
    for text, kept in (("# A model of mine", files), ("# Reproduction", [])):
        for name in files:
            (tmp_path / name).write_text(text)
        remove_reproduction(tmp_path)
        assert sorted(file.name for file in tmp_path.iterdir()) == kept


@pytest.mark.parametrize("place", ["model.onnx", "README.md", "--junit", "--markdown"])
def test_a_report_overwrites_nothing_of_the_user_s(digits: Any, scaled: Path, tmp_path: Path, place: str) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    onnx_file = scaled.rename(folder / ("model.onnx" if place == "model.onnx" else "scaled.onnx"))
    if place == "README.md":
        (folder / "README.md").write_text("# A model of mine")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    where = (place, onnx_file) if place.startswith("--") else ("--report", folder)
    result = run("verify", digits.keras_file, onnx_file, "--batch", "1", *where)
    assert exit_code(result) == 2
    assert "overwrite" in message(result)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_an_input_of_another_name_is_a_disagreement(digits: Any, published: Path, tmp_path: Path) -> None:
    model = onnx.load(published / "model.onnx")
    model.graph.input[0].name = model.graph.node[0].input[0] = "picture"
    onnx.save(model, tmp_path / "renamed.onnx")
    result = run("verify", digits.keras_file, tmp_path / "renamed.onnx", "--batch", "1")
    assert exit_code(result) == 1
    assert "`picture`" in result.stdout


def foreign(published: Path, output: str, path: Path) -> Path:
    """The published graph as another converter writes it: one output, called `output_0`."""
    model = onnx.load(published / "model.onnx")
    keep = next(value for value in model.graph.output if value.name == output)
    extracted = onnx.utils.Extractor(model).extract_model(["image"], [keep.name])
    extracted.graph.node.append(onnx.helper.make_node("Identity", [output], ["output_0"]))
    extracted.graph.output[0].name = "output_0"
    onnx.save(extracted, path)
    return path


def test_a_lost_softmax_is_a_disagreement(digits: Any, published: Path, tmp_path: Path) -> None:
    raw = foreign(published, "logits", tmp_path / "raw.onnx")
    result = run("verify", digits.keras_file, raw, "--batch", "1")
    assert exit_code(result) == 1
    assert result.stdout.startswith("Yes, a bug: the output `output_0` is raw scores")
    assert "as a confidence" in result.stdout


def test_an_added_softmax_is_a_disagreement(zoo: Any, tmp_path: Path) -> None:
    from export.exporting import ExportOrder, export_model

    zoo.build(zoo.raw_logits, seed=0).save(tmp_path / "raw.keras")
    order = ExportOrder(model=str(tmp_path / "raw.keras"), name="raw", out=tmp_path / "models")
    folder = export_model(order).folder
    assert folder is not None
    finished = foreign(folder, "probabilities", tmp_path / "finished.onnx")
    result = run("verify", tmp_path / "raw.keras", finished, "--batch", "1")
    assert exit_code(result) == 1
    assert result.stdout.startswith("Yes, a bug: the output `output_0` is probabilities")
    same = foreign(folder, "logits", tmp_path / "same.onnx")
    assert exit_code(run("verify", tmp_path / "raw.keras", same, "--batch", "1")) == 0


def test_a_file_that_cannot_be_asked_is_a_disagreement(digits: Any, published: Path, tmp_path: Path) -> None:
    model = onnx.load(published / "model.onnx")
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(model, tmp_path / "half.onnx")
    result = run("verify", digits.keras_file, tmp_path / "half.onnx", "--report", tmp_path / "report")
    assert exit_code(result) == 1
    assert "float16" in result.stdout


def test_a_file_for_one_batch_size_is_a_disagreement(digits: Any, published: Path, tmp_path: Path) -> None:
    model = onnx.load(published / "model.onnx")
    name = [node for node in model.graph.node if node.op_type == "Reshape"][-1].input[1]
    shape = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    shape.CopyFrom(onnx.numpy_helper.from_array(np.array([1, 1152]), name))
    onnx.save(model, tmp_path / "frozen.onnx")
    junit = tmp_path / "junit.xml"
    result = run("verify", digits.keras_file, tmp_path / "frozen.onnx", "--batch", "1,2", "--junit", junit)
    assert exit_code(result) == 1, result.output
    assert "cannot be run at batch" in result.stdout
    assert ET.parse(junit).getroot().get("failures") == "1"  # noqa: S314 - our own file


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["{keras}"], 2),
        (["nowhere", "{onnx}"], 2),
        (["{keras}", "{onnx}", "--batch", "1,x"], 2),
        (["{keras}", "{onnx}", "--batch", "0"], 2),
        (["{keras}", "{onnx}", "--data", "nowhere.npz"], 2),
        (["{keras}", "{cut}"], 4),
        (["{keras}", "{flipped}"], 4),
        (["{keras}", "nowhere.onnx"], 4),
    ],
)
def test_what_cannot_be_verified(digits: Any, published: Path, tmp_path: Path, arguments: list[str], code: int) -> None:
    whole = (published / "model.onnx").read_bytes()
    shutil.copytree(published, tmp_path / "1")
    (tmp_path / "1" / "model.onnx").write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    (tmp_path / "cut.onnx").write_bytes(whole[:-1000])
    places = {
        "{keras}": digits.keras_file,
        "{onnx}": published / "model.onnx",
        "{cut}": tmp_path / "cut.onnx",
        "{flipped}": tmp_path / "1" / "model.onnx",
    }
    result = run("verify", *(places.get(argument, argument) for argument in arguments))
    assert exit_code(result) == code, result.output
    assert message(result)


@pytest.mark.parametrize("field", ["labels", "weights_sha256"])
def test_a_manifest_that_says_otherwise_than_the_file(digits: Any, published: Path, tmp_path: Path, field: str) -> None:
    folder = shutil.copytree(published, tmp_path / "1")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest[field] = manifest[field][::-1]
    (folder / "manifest.json").write_text(json.dumps(manifest | {"preprocessing": None}))
    result = run("verify", digits.keras_file, folder / "model.onnx", "--batch", "1")
    assert exit_code(result) == 4, result.output
    assert field in message(result)


def test_data_that_the_model_cannot_answer_cannot_be_compared(digits: Any, published: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "nan.npz", images=np.full((3, 28, 28, 1), np.nan, np.float32))
    result = run("verify", digits.keras_file, published / "model.onnx", "--data", tmp_path / "nan.npz", "--batch", "1")
    assert exit_code(result) == 3
    assert "nan.npz" in message(result)


def test_golden_replays_an_artifact(published: Path) -> None:
    result = run("verify", "--golden", published)
    assert exit_code(result) == 0, result.output
    assert f"{len(read_drawings())} golden examples" in result.output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--junit", "junit.xml"], "--junit"),
        (["--json"], "--json"),
        (["model.keras"], "MODEL"),
        (["--batch", "1"], "--batch"),
    ],
)
def test_golden_ignores_nothing(published: Path, arguments: list[str], named: str) -> None:
    result = run("verify", "--golden", published, *arguments)
    assert exit_code(result) == 2
    assert named in message(result)


def test_golden_refuses_a_damaged_artifact(published: Path, tmp_path: Path) -> None:
    shutil.copytree(published, tmp_path / "digits" / "1")
    (tmp_path / "digits" / "1" / "golden" / "1-canvas.png").write_bytes(b"")
    result = run("verify", "--golden", tmp_path / "digits" / "1")
    assert exit_code(result) == 4


def test_golden_imports_nothing_heavy(published: Path) -> None:
    """It runs where only the slim server is installed."""
    script = (
        "import sys; from service.cli import livedigit;"
        "livedigit.main(['verify', '--golden', sys.argv[1]], standalone_mode=False);"
        "heavy = {'tensorflow', 'keras', 'onnx', 'tf2onnx'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script, str(published)], check=True, timeout=120)
