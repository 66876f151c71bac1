"""What a user may call a model: a SavedModel, a `.keras` or `.h5` file, or a function that returns a Keras model."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from export.errors import ArtifactError, CannotExport, UsageError, one_line
from export.precision import is_single, rebuild
from export.quiet import import_tensorflow, silent_stderr
from export.tracing import write_saved_model
from service.contract import SCHEMA_VERSION, UNREADABLE_JSON, TrainingRun

if TYPE_CHECKING:
    import keras

SIGNATURE = "serve"
SIGNATURES = (SIGNATURE, "serving_default")
"""Preferred in this order: the first is Keras' and ours, the second TensorFlow's convention."""
RUN_FILE = "run.json"
EVALUATION_FILE = "evaluation.md"
KERAS_FILE = "model.keras"
VARIABLE_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


@dataclass(frozen=True)
class Source:
    """A model, ready to convert and to run."""

    name: str
    """As the user wrote it."""
    saved_model: Path
    signature: str
    keras_model: keras.Model | None
    """None where only a SavedModel is at hand: its layers cannot be told from its operators."""
    run: TrainingRun | None
    evaluation: str | None = None
    """A part of the model card, in Markdown."""


def open_source(text: str, work: Path, signature: str | None = None) -> Source:
    """Load a model by what the text names; a Keras model is traced into a SavedModel under `work`.

    Raises `UsageError`, `CannotExport` or, where files contradict each other, `ArtifactError`.
    """
    path = Path(text)
    if path.is_dir():
        return open_saved_model(text, path, signature)
    if signature is not None:
        raise UsageError(f"{text}: --signature chooses among those of a SavedModel folder, which this is not")
    if path.is_file():
        return trace_keras_model(text, load_keras_file(path), work)
    module, colon, function = text.partition(":")
    if colon and module and function:
        return trace_keras_model(text, call_builder(module, function), work)
    raise UsageError(f"{text}: no such SavedModel folder, .keras or .h5 file, nor of the form module:function")


def trace_keras_model(text: str, model: keras.Model, work: Path) -> Source:
    """Write a Keras model as a SavedModel under `work`, in float32 whatever it was trained in.

    Mixed precision keeps float32 weights and rounds them in every step; inference need not. Raises `CannotExport`.
    """
    check_keras_input(text, model)
    if not is_single(model):
        model = in_single_precision(model)
    folder = work / "saved_model"
    write_saved_model(model, folder, SIGNATURE)
    return Source(name=text, saved_model=folder, signature=SIGNATURE, keras_model=model, run=None)


def check_keras_input(text: str, model: keras.Model) -> None:
    """Refuse images of whole numbers, as Keras itself would round ours. Raises `CannotExport`."""
    for tensor in getattr(model, "inputs", None) or []:
        kind = str(tensor.dtype)
        if not kind.startswith(("float", "bfloat")):
            raise CannotExport(
                f"{text}: the input `{tensor.name}` is {kind}; expected float32: build the model on such an input"
            )


def in_single_precision(model: keras.Model) -> keras.Model:
    """Rebuild a mixed-precision model in float32. Raises `CannotExport`."""
    try:
        return rebuild(model, "float32")
    except Exception as error:  # a user's layer may raise anything
        raise CannotExport(
            f"the model `{model.name}` computes in float16 and Keras cannot rebuild it in float32: {one_line(error)}"
        ) from error


def open_saved_model(text: str, folder: Path, signature: str | None) -> Source:
    """Open a SavedModel with what may lie beside it: `run.json` and `model.keras`.

    Raises `UsageError`, `CannotExport` or `ArtifactError`.
    """
    if not (folder / "saved_model.pb").is_file():
        raise UsageError(f"{text}: holds no saved_model.pb; expected a SavedModel folder")
    keras_file = folder / KERAS_FILE
    source = Source(
        name=text,
        saved_model=folder,
        signature=choose_signature(folder, signature),
        keras_model=load_keras_file(keras_file) if keras_file.is_file() else None,
        run=read_run(folder / RUN_FILE),
        evaluation=read_evaluation(folder / EVALUATION_FILE),
    )
    check_input_type(source)
    check_weights(source)
    return source


def choose_signature(folder: Path, wanted: str | None) -> str:
    """Pick the signature to export. Raises `CannotExport` where there is none, `UsageError` where it is a guess."""
    names = list_signatures(folder)
    if wanted is not None:
        if wanted not in names:
            raise UsageError(f"{folder}: has no signature {wanted}; it has {', '.join(names) or 'none'}")
        return wanted
    if not names:
        raise CannotExport(f"{folder}: has no serving signature; save it with `keras.Model.export` or give it one")
    for name in SIGNATURES:
        if name in names:
            return name
    if len(names) == 1:
        return names[0]
    raise UsageError(f"{folder}: has signatures {', '.join(names)}; choose one with --signature")


def list_signatures(folder: Path) -> list[str]:
    """Read the names of a SavedModel's signatures. Raises `ArtifactError`."""
    return sorted(name for name in load_signatures(folder) if not name.startswith("_"))


def load_signatures(folder: Path) -> dict[str, Any]:
    """Read the signatures of a SavedModel without loading it. Raises `ArtifactError`."""
    import_tensorflow()
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise ArtifactError(f"{folder}: saved_model.pb is damaged or incomplete: save the model again") from error
    served = [graph for graph in saved.meta_graphs if "serve" in graph.meta_info_def.tags]
    return {name: signature for graph in served for name, signature in graph.signature_def.items()}


def signature_input(source: Source) -> str:
    """Read what the model itself calls its one input. Raises `CannotExport` where there are more."""
    inputs = sorted(load_signatures(source.saved_model)[source.signature].inputs)
    if len(inputs) != 1:
        raise CannotExport(f"{source.name}: the signature has inputs {', '.join(inputs) or 'none'}; expected one")
    return str(inputs[0])


def check_input_type(source: Source) -> None:
    """Refuse images of another type than the server's, or so many at a time. Raises `CannotExport`."""
    tf = import_tensorflow()
    for name, tensor in load_signatures(source.saved_model)[source.signature].inputs.items():
        kind = tf.dtypes.as_dtype(tensor.dtype).name
        if kind != "float32":
            raise CannotExport(
                f"{source.name}: the input `{name}` is {kind}; expected float32: save a signature that casts it"
            )
        sides = [side.size for side in tensor.tensor_shape.dim]
        if sides and sides[0] >= 0:
            raise CannotExport(
                f"{source.name}: the signature takes batches of {sides[0]} only; save it with an open batch"
            )


def read_run(path: Path) -> TrainingRun | None:
    """Read `run.json`, where there is one. Raises `ArtifactError`."""
    if not path.is_file():
        return None
    try:
        run = msgspec.json.decode(path.read_bytes(), type=TrainingRun)
    except UNREADABLE_JSON as error:
        raise ArtifactError(f"{path}: {error}") from error
    if run.schema_version > SCHEMA_VERSION:
        raise ArtifactError(
            f"{path}: schema version {run.schema_version}, this version of livedigit reads up to {SCHEMA_VERSION}"
        )
    return run


def read_evaluation(path: Path) -> str | None:
    """Read what `livedigit evaluate --card` has written, if it has."""
    return path.read_text("utf-8") if path.is_file() else None


def check_weights(source: Source) -> None:
    """Compare the weights with the digest in `run.json`. Raises `ArtifactError`."""
    if source.run is None or source.keras_model is None:
        return
    found = weights_sha256(source)
    if found != source.run.weights_sha256:
        raise ArtifactError(
            f"{source.name}: {KERAS_FILE} holds weights {found[:12]}, {RUN_FILE} says "
            f"{source.run.weights_sha256[:12]}: train again, or restore the folder"
        )


def weights_sha256(source: Source) -> str:
    """Digest the float32 little-endian bytes of the weights.

    In the Keras model's order; of a bare SavedModel, in the order of its variables' names in the checkpoint, where
    `keras.Model.export` lists them under `variables/` and TensorFlow itself wherever the model holds them.
    """
    if source.keras_model is not None:
        return digest_arrays(source.keras_model.get_weights())
    tf = import_tensorflow()
    checkpoint = tf.train.load_checkpoint(str(source.saved_model / "variables" / "variables"))
    types = checkpoint.get_variable_to_dtype_map()
    values = sorted(name for name in types if name.endswith(VARIABLE_VALUE))
    tracked = [name for name in values if name.startswith("variables/")]
    floating = [name for name in values if types[name].is_floating and not name.startswith("save_counter/")]
    return digest_arrays([checkpoint.get_tensor(name) for name in tracked or floating])


def digest_arrays(arrays: list[Any]) -> str:
    """SHA-256 over the arrays as float32, little-endian, C order."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in arrays)).hexdigest()


def load_keras_file(path: Path) -> keras.Model:
    """Load a `.keras` file, or a whole model in an `.h5` file; code inside is not run.

    Raises `ArtifactError` or `CannotExport`.
    """
    import_tensorflow()
    import h5py  # type: ignore[import-untyped]
    import keras

    if not zipfile.is_zipfile(path) and not h5py.is_hdf5(path):
        raise ArtifactError(f"{path}: damaged, or no .keras or .h5 file")
    try:
        with silent_stderr():
            return keras.saving.load_model(path, compile=False)
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtifactError(f"{path}: damaged, or no .keras or .h5 file: {one_line(error)}") from error
    except (TypeError, ValueError) as error:
        remedy = "give a module:function that builds the model and loads its weights"
        raise CannotExport(f"{path}: Keras cannot rebuild it ({one_line(error)}); {remedy}") from error


def call_builder(module: str, function: str) -> keras.Model:
    """Call `module:function`, found from the working directory too. Raises `UsageError` or `CannotExport`."""
    import_tensorflow()
    import keras

    builder = find_builder(module, function)
    try:
        model = builder()
    except Exception as error:  # a user's code may raise anything
        raise CannotExport(f"{module}:{function} raised {type(error).__name__}: {one_line(error)}") from error
    if not isinstance(model, keras.Model):
        raise UsageError(f"{module}:{function} returned {type(model).__name__}; expected a Keras model")
    return model


def find_builder(module: str, function: str) -> Callable[[], object]:
    """Import the function that a user named. Raises `UsageError`."""
    here = os.getcwd()  # noqa: PTH109 - sys.path holds strings
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        builder = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{module}:{function}: {one_line(error)}") from error
    if not callable(builder):
        raise UsageError(f"{module}:{function} is a {type(builder).__name__}; expected a function")
    return builder  # type: ignore[no-any-return]
