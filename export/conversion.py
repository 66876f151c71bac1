"""A source's canonical ONNX form: what `export` publishes, and what `verify` holds a foreign file against."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from export.canonical import canonicalize, to_bytes
from export.check import check_interface, check_portable, check_valid
from export.convert import DEFAULT_OPSET, convert_saved_model
from export.graph import standardize
from export.source import Source

if TYPE_CHECKING:
    import onnx


class Converted(NamedTuple):
    """A model in ONNX, parsed and as bytes."""

    model: onnx.ModelProto
    data: bytes


def convert_source(source: Source, opset: int = DEFAULT_OPSET) -> Converted:
    """Convert, give the graph its interface, spell it canonically, and check it.

    Raises `CannotExport`, or what `convert_saved_model` raises.
    """
    raw = convert_saved_model(source.saved_model, source.signature, opset)
    check_portable(raw)
    model = canonicalize(standardize(raw))
    data = to_bytes(model)
    check_interface(model)
    check_valid(model, data)
    return Converted(model, data)


def with_properties(model: onnx.ModelProto, properties: dict[str, str]) -> Converted:
    """Write properties into the file itself, in the order of their names."""
    import onnx

    described = onnx.ModelProto()
    described.CopyFrom(model)
    onnx.helper.set_model_props(described, dict(sorted(properties.items())))
    return Converted(described, to_bytes(described))


def class_count(model: onnx.ModelProto) -> int:
    """Read the number of classes from the graph's first output."""
    return int(model.graph.output[0].type.tensor_type.shape.dim[1].dim_value)
