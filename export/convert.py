"""SavedModel to ONNX through tf2onnx; the only module that knows tf2onnx.

tf2onnx logs what it cannot convert and then reports success, so what it hands back is checked here, operator by
operator, before anyone else sees it.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from export.errors import ArtifactError, CannotExport, UsageError, one_line
from export.quiet import import_tensorflow, silent_stderr

if TYPE_CHECKING:
    import onnx

DEFAULT_OPSET = 18
OPSETS = range(13, 25)
"""Below 13, softmax flattens its input and reductions take axes as attributes; newer ones await a trial on the zoo."""
HIGHEST_WRITTEN = 18
"""What tf2onnx 1.17 can write; newer operator sets are reached from there."""
NAMED_AT_MOST = 5
"""Operators in one message."""


def convert_saved_model(folder: Path, signature: str, opset: int = DEFAULT_OPSET) -> onnx.ModelProto:
    """Convert one signature of a SavedModel; its inputs and outputs keep the signature's names.

    Raises `CannotExport` with the operator or layer named, `ArtifactError` where the SavedModel is damaged, or
    `UsageError` for another opset.
    """
    if opset not in OPSETS:
        raise UsageError(f"opset {opset} cannot be written; choose {OPSETS.start} to {OPSETS.stop - 1}")
    import_tensorflow()
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    with silent_stderr():
        model = run_tf2onnx(folder, signature, min(opset, HIGHEST_WRITTEN))
    spell_out_erfc(model)
    spell_out_nearest(model)
    refuse_foreign_operators(model, min(opset, HIGHEST_WRITTEN))
    return model if opset <= HIGHEST_WRITTEN else raise_opset(model, opset)


def run_tf2onnx(folder: Path, signature: str, opset: int) -> onnx.ModelProto:
    """Call tf2onnx below its public functions, which hard-code `continue_on_error`.

    Raises `CannotExport` or `ArtifactError`.
    """
    from tf2onnx import convert

    try:
        graph_def, inputs, outputs, tables, names = load_graph(folder, signature)
        model, _ = convert._convert_common(
            graph_def,
            name="model",
            continue_on_error=False,
            opset=opset,
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=names,
            initialized_tables=tables,
        )
    except ArtifactError:
        raise
    except Exception as error:  # tf2onnx raises whatever its handlers met
        raise CannotExport(f"the conversion failed: {one_line(error)}") from error
    return cast("onnx.ModelProto", model)


def load_graph(folder: Path, signature: str) -> tuple[Any, ...]:
    """Load and freeze a signature, as tf2onnx likes it. Raises `ArtifactError`, and what else TensorFlow raises."""
    from tf2onnx import tf_loader

    try:
        return cast(
            "tuple[Any, ...]",
            tf_loader.from_saved_model(
                str(folder),
                None,
                None,
                tag="serve",
                signatures=[signature],
                return_initialized_tables=True,
                return_tensors_to_rename=True,
            ),
        )
    except (OSError, IndexError) as error:  # for variables that are gone, and for those that are cut short
        raise ArtifactError(f"{folder}: damaged or incomplete: {one_line(error)}: save the model again") from error


def spell_out_erfc(model: onnx.ModelProto) -> None:
    """Write TensorFlow's Erfc, which Keras' exact GELU uses and ONNX lacks, as 1 - Erf."""
    import onnx

    one = onnx.numpy_helper.from_array(np.array(1, np.float32), "erfc/one")
    for node in [node for node in model.graph.node if node.op_type == "Erfc"]:
        erf = f"{node.output[0]}/erf"
        position = list(model.graph.node).index(node)
        model.graph.node.remove(node)
        model.graph.node.insert(position, onnx.helper.make_node("Erf", node.input, [erf]))
        model.graph.node.insert(position + 1, onnx.helper.make_node("Sub", [one.name, erf], node.output))
        if one not in model.graph.initializer:
            model.graph.initializer.append(one)


def spell_out_nearest(model: onnx.ModelProto) -> None:
    """Write TensorFlow's nearest pixel, floor((x + 1/2) / scale), as the standard has it since opset 13.

    tf2onnx 1.17 keeps to the older name, `tf_half_pixel_for_nn`: floor(y) is y - 1/2 rounded, halves up.
    """
    resizes = [node for node in model.graph.node if node.op_type == "Resize"]
    for attributes in ({attribute.name: attribute for attribute in node.attribute} for node in resizes):
        if attributes["coordinate_transformation_mode"].s == b"tf_half_pixel_for_nn":
            attributes["coordinate_transformation_mode"].s = b"half_pixel"
            attributes["nearest_mode"].s = b"round_prefer_ceil"


def refuse_foreign_operators(model: onnx.ModelProto, opset: int) -> None:
    """Raise `CannotExport` for operators that the standard domain does not define at this opset."""
    import onnx

    foreign = sorted(
        f"{node.op_type} ({node.name})"
        for node in model.graph.node
        if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type, opset)
    )
    if foreign:
        raise CannotExport(f"no standard ONNX operator stands for {', '.join(foreign[:NAMED_AT_MOST])}")


def raise_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Rewrite a graph for a newer operator set. Raises `CannotExport`."""
    from onnx import helper, version_converter

    try:
        newer = version_converter.convert_version(model, opset)
    except Exception as error:  # the converter raises bare C++ exceptions
        raise CannotExport(f"opset {opset} cannot be reached from {HIGHEST_WRITTEN}: {one_line(error)}") from error
    newer.ir_version = helper.find_min_ir_version_for(newer.opset_import)
    return newer
