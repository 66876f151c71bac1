"""A comparison's outcome for its readers: people at a terminal, people on a pull request, and CI."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import msgspec
import numpy as np

from export.errors import UsageError
from export.graph import IMAGE
from export.parity import PARITY_FILE, GateResult, ParityReport

if TYPE_CHECKING:
    import onnx

    from export.verifying import Verified

QUESTIONS = {
    "interface": "Same inputs and outputs?",
    "pipeline": "Same pixels before, same labels behind?",
    "meaning": "Same function, in float64?",
    "rounding": "Normal rounding?",
    "decision": "Same labels?",
    "probabilities": "Probabilities the softmax of the logits?",
}
LISTED_TIES = 5
README = "README.md"
REPRODUCTION_FILES = (README, "worst.npz", "model.onnx", "subgraph.onnx")
REPRODUCTION_TITLE = "# Reproduction"


def describe_report(report: ParityReport) -> str:
    """Answer in a few lines, the sentence first."""
    lines = [report.summary, ""]
    for gate, question in QUESTIONS.items():
        results = [result for result in report.results if result.gate == gate]
        if results:
            lines.append(f"  {question:<42} {describe_gate(results)}")
    if report.first_difference:
        lines.append(f"  {'First difference':<42} {report.first_difference}")
    if report.inputs:
        lines.append(f"  {'Compared on':<42} {', '.join(map(str, report.inputs))}")
    lines += [f"  note: {note}" for note in report.notes]
    return "\n".join(lines)


def describe_gate(results: list[GateResult]) -> str:
    """Sum up one gate over all input sets and batch sizes."""
    failed = [result for result in results if not result.passed]
    if results[0].gate in ("interface", "pipeline"):
        return f"NO: {failed[0].detail}" if failed else "yes"
    nearest = max(failed or results, key=lambda result: result.measured / (result.limit or 1))
    place = f" on {nearest.input_set}, batch {nearest.batch}" if nearest.input_set else ""
    figure = f"{nearest.measured:.2g} {nearest.unit}".strip()
    if not failed:
        return f"yes ({figure} at most, limit {nearest.limit:.2g}{place})"
    return f"NO: {figure}, limit {nearest.limit:.2g}{place}; {len(failed)} of {len(results)} checks fail"


def write_reports(verified: Verified, folder: Path | None, junit: Path | None, markdown: Path | None) -> None:
    """Write the reports that were asked for. Raises `UsageError` where a place cannot be written."""
    place = folder
    try:
        if folder is not None:
            write_folder(folder, verified)
        if junit is not None:
            place = junit
            junit.parent.mkdir(parents=True, exist_ok=True)
            junit.write_bytes(to_junit(verified.report))
        if markdown is not None:
            place = markdown
            markdown.parent.mkdir(parents=True, exist_ok=True)
            with markdown.open("a", encoding="utf-8") as file:
                file.write(to_markdown(verified.report))
    except OSError as error:
        raise UsageError(f"{error.filename or place}: the report cannot be written: {error.strerror}") from error


def refuse_to_overwrite(folder: Path | None, files: Sequence[Path], compared: Sequence[Path]) -> None:
    """Refuse reports in the place of a compared file or of a user's own README. Raises `UsageError`."""
    reproduction = [folder / name for name in (PARITY_FILE, *REPRODUCTION_FILES)] if folder is not None else []
    inputs = {path.resolve() for path in compared}
    for path in (*reproduction, *files):
        if path.resolve() in inputs:
            remedy = "choose another place"
            if path in reproduction and is_reproduction(path.parent / README):
                remedy = f"leave --report out to repeat it, or name another folder, as {path.parent / 'again'}"
            raise UsageError(f"{path}: a report would overwrite a file that is compared: {remedy}")
    readme = folder / README if folder is not None else None
    if readme is not None and readme.is_file() and not is_reproduction(readme):
        raise UsageError(f"{readme}: is none of ours, and a report may overwrite it: choose another folder")


def is_reproduction(readme: Path) -> bool:
    """Say whether a README is one that an earlier disagreement left."""
    return readme.is_file() and readme.read_bytes().startswith(REPRODUCTION_TITLE.encode())


def write_folder(folder: Path, verified: Verified) -> None:
    """Write `parity.json` and, where the two disagree, what it takes to see it again."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_reproduction(folder)
    (folder / PARITY_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(verified.report), indent=1) + b"\n")
    if verified.report.verdict == "agree" or verified.model is None or verified.images is None:
        return
    np.savez(folder / "worst.npz", images=verified.images)
    (folder / "model.onnx").write_bytes(verified.model.data)
    if verified.culprit is not None and verified.culprit.tensor not in ("", IMAGE):
        write_subgraph(folder / "subgraph.onnx", verified.model.model, verified.culprit.tensor)
    command = [
        "livedigit",
        "verify",
        verified.report.model,
        str(folder / "model.onnx"),
        "--data",
        str(folder / "worst.npz"),
    ]
    text = (
        f"{REPRODUCTION_TITLE}\n\n{verified.report.summary}\n\n    {shlex.join(command)}\n\n"
        "The first image of `worst.npz` is the worst; `subgraph.onnx`, if there, ends at the first difference.\n"
    )
    (folder / README).write_text(text, encoding="utf-8")


def remove_reproduction(folder: Path) -> None:
    """Remove what an earlier disagreement left, known by its README."""
    if not is_reproduction(folder / README):
        return
    for name in REPRODUCTION_FILES:
        (folder / name).unlink(missing_ok=True)


def write_subgraph(path: Path, model: onnx.ModelProto, tensor: str) -> None:
    """Write the part of a graph that computes one tensor."""
    import onnx

    shaped = onnx.shape_inference.infer_shapes(model)
    onnx.save(onnx.utils.Extractor(shaped).extract_model([IMAGE], [tensor]), path)


def to_junit(report: ParityReport) -> bytes:
    """Write a test case for each gate, input set and batch size."""
    failures = sum(not result.passed for result in report.results)
    suite = ET.Element(
        "testsuite", name="parity", tests=str(len(report.results)), failures=str(failures), time=str(report.duration_s)
    )
    for result in report.results:
        name = " ".join(filter(None, (result.gate, result.input_set, f"batch {result.batch}" if result.batch else "")))
        case = ET.SubElement(suite, "testcase", classname=f"parity.{result.gate}", name=name)
        if not result.passed:
            message = f"{result.measured:.3g} {result.unit}, limit {result.limit:.3g}"
            failure = ET.SubElement(case, "failure", message=message)
            failure.text = "\n".join(filter(None, (report.summary, result.detail, f"worst row: {result.worst_row}")))
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))


def to_markdown(report: ParityReport) -> str:
    """Write a summary for a pull request or a job's page."""
    sign = "✅" if report.verdict == "agree" else "❌"
    rows = [
        f"| {question} | {describe_gate(results)} |"
        for gate, question in QUESTIONS.items()
        if (results := [result for result in report.results if result.gate == gate])
    ]
    compared = ", ".join(map(str, report.inputs)) or "nothing"
    ties = report.near_ties[:LISTED_TIES]
    listed = [f"- {tie.input_set} row {tie.row}: margin {tie.margin:.2g}" + " (turned)" * tie.flipped for tie in ties]
    sections = [
        f"## {sign} {report.model} and ONNX {report.verdict}\n\n{report.summary}",
        "| Question | Answer |\n|---|---|\n" + "\n".join(rows),
        f"First difference: {report.first_difference}" if report.first_difference else "",
        f"Compared on {compared}; batch sizes {', '.join(map(str, report.batches)) or 'none'}",
        "\n".join(f"Note: {note}." for note in report.notes),
        f"{len(report.near_ties)} near-ties, among them:\n\n" + "\n".join(listed) if ties else "",
    ]
    return "\n\n".join(filter(None, sections)) + "\n"
