"""`MODEL_CARD.md`: what a user of the model wants to know, in prose and tables."""

from __future__ import annotations

from export.parity import ParityReport
from service.contract import Manifest, PreprocessingSpec, TrainingRun

GROUNDS = {
    "light_on_dark": "One light figure on a dark ground",
    "auto": "One figure, light on a dark ground or dark on a light one, which is then turned over",
}


def write_card(manifest: Manifest, report: ParityReport, evaluation: str | None = None) -> str:
    """Describe a version in Markdown; `evaluation` is a part that is written already."""
    sections = (
        describe_model(manifest),
        describe_interface(manifest),
        describe_training(manifest.training),
        evaluation,
        describe_parity(report),
        describe_variant(manifest),
        describe_limits(manifest.preprocessing),
    )
    return "\n".join(filter(None, sections))


def describe_model(manifest: Manifest) -> str:
    """Name the model and its file."""
    return (
        f"# {manifest.name}, version {manifest.version}\n\n"
        f"An image classifier with {len(manifest.labels)} labels: {', '.join(manifest.labels)}.\n\n"
        f"| | |\n|---|---|\n"
        f"| File | `{manifest.model.file}`, {manifest.model.size_bytes:,} bytes |\n"
        f"| SHA-256 | `{manifest.model.sha256}` |\n"
        f"| Weights SHA-256 | `{manifest.weights_sha256}` |\n"
        f"| ONNX | opset {manifest.opset}, IR {manifest.ir_version}, standard operators only |\n"
        f"| Exported | {manifest.created} |\n"
    )


def describe_interface(manifest: Manifest) -> str:
    """List inputs and outputs."""
    rows = [
        f"| {kind} | `{tensor.name}` | {tensor.dtype} | {' x '.join(map(str, tensor.shape))} |"
        for kind, tensors in (("input", manifest.inputs), ("output", manifest.outputs))
        for tensor in tensors
    ]
    return "## Interface\n\n| | Name | Type | Shape |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def describe_training(run: TrainingRun | None) -> str:
    """Say where the weights come from and how good they are."""
    if run is None:
        return "## Training\n\nNot recorded: the model was exported without a `run.json`.\n"
    metrics = "\n".join(f"| {name} | {value:.6g} |" for name, value in sorted(run.metrics.items()))
    datasets = "\n".join(f"| {each.name} | {each.split} | {each.examples:,} |" for each in run.datasets)
    return (
        f"## Training\n\n    {run.command}\n\n"
        f"Recipe `{run.recipe}`, seed {run.seed}, {run.epochs} epochs in {run.duration_s:,.0f} s, "
        f"{run.parameters:,} parameters; finished {run.created}.\n\n"
        f"| Data set | Split | Examples |\n|---|---|---|\n{datasets}\n\n"
        f"| Metric | Value |\n|---|---|\n{metrics}\n"
    )


def describe_parity(report: ParityReport) -> str:
    """Give the verdict of the comparison with TensorFlow and its figures."""
    differences = report.differences
    compared = ", ".join(map(str, report.inputs))
    return (
        f"## Agreement with TensorFlow\n\n{report.summary}\n\n"
        f"| | |\n|---|---|\n"
        f"| Compared on | {compared} |\n"
        f"| Batch sizes | {', '.join(map(str, report.batches))} |\n"
        f"| Largest difference of logits | {differences.logits:.2e} (largest logit {differences.largest_logit:.1f}) |\n"
        f"| Largest difference of probabilities | {differences.probabilities:.2e} |\n"
        f"| Rounding of ONNX Runtime | {differences.onnx_eps:.1f} eps |\n"
        f"| Rounding of TensorFlow | {differences.tensorflow_eps:.1f} eps |\n"
    )


def describe_variant(manifest: Manifest) -> str:
    """Say how a variant decides beside the float32 model; nothing for the latter."""
    if manifest.variant is None:
        return ""
    figures = manifest.parity.figures
    return (
        f"## Variant\n\nThis is the {manifest.variant.kind} form; the agreement above is the float32 form's.\n\n"
        f"| | |\n|---|---|\n"
        f"| Accuracy | {figures['variant_accuracy']:.2%} on {figures['variant_images']:,.0f} images |\n"
        f"| Accuracy in float32 | {figures['variant_accuracy_float32']:.2%} |\n"
        f"| Decisions turned | {figures['variant_decisions_turned']:.0f}, none beyond the error bound |\n"
        f"| Calibration images, SHA-256 | `{manifest.variant.calibration_sha256}` |\n"
    )


def describe_limits(spec: PreprocessingSpec | None) -> str:
    """Say what the model is not for."""
    if spec is None:
        return "## Limits\n\nThe model takes tensors as it was trained on them; no image pipeline comes with it.\n"
    return (
        f"## Limits\n\n{GROUNDS[spec.polarity]}: levels below {spec.ink_threshold} count as paper, the "
        f"ink's box is scaled to {spec.fit_size} pixels and its centre of mass laid on the middle of "
        f"{spec.frame_size} x {spec.frame_size}. Whatever is drawn gets one of the labels above; a scribble too.\n"
    )
