"""The surgery that gives a graph its interface, on graphs made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.errors import CannotExport
from export.graph import standardize

onnx = pytest.importorskip("onnx")
helper = onnx.helper
FLOAT = onnx.TensorProto.FLOAT

KERNEL = np.arange(12, dtype=np.float32).reshape(4, 3) / 10


def make_model(
    tail: list[Any], outputs: list[str], name: str = "input_1", sides: tuple[Any, ...] = ("n", 2, 2, 1)
) -> Any:
    """Flatten with a shape computed at run time, as Keras' Flatten is converted; then a product, then `tail`."""
    weights = [
        onnx.numpy_helper.from_array(KERNEL, "kernel"),
        onnx.numpy_helper.from_array(np.array([0], np.int64), "zero"),
        onnx.numpy_helper.from_array(np.array([1], np.int64), "one"),
        onnx.numpy_helper.from_array(np.array([4], np.int64), "rest"),
    ]
    nodes = [
        helper.make_node("Shape", [name], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "one"], ["first"]),
        helper.make_node("Concat", ["first", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", [name, "target"], ["flat"]),
        helper.make_node("MatMul", ["flat", "kernel"], ["product"]),
        *tail,
    ]
    inputs = [helper.make_tensor_value_info(name, FLOAT, sides)]
    values = [helper.make_tensor_value_info(output, FLOAT, ["n", None]) for output in outputs]
    graph = helper.make_graph(nodes, "g", inputs, values, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def softmax(source: str = "product", target: str = "answer") -> Any:
    return helper.make_node("Softmax", [source], [target], axis=-1)


def operators(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


def run(model: Any) -> dict[str, np.ndarray]:
    from onnx.reference import ReferenceEvaluator

    image = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 2, 2, 1)
    names = [value.name for value in model.graph.output]
    return dict(zip(names, ReferenceEvaluator(model).run(names, {"image": image}), strict=True))


def expected_logits() -> np.ndarray:
    return np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4) @ KERNEL


def check(model: Any) -> Any:
    standard = standardize(model)
    onnx.checker.check_model(standard, full_check=True)
    answers = run(standard)
    assert list(answers) == ["logits", "probabilities"]
    assert np.allclose(answers["logits"], expected_logits(), atol=1e-6)
    assert np.allclose(answers["probabilities"].sum(axis=1), 1)
    return standard


def test_the_softmax_s_input_becomes_the_logits() -> None:
    standard = check(make_model([softmax()], ["answer"]))
    assert standard.graph.input[0].name == "image"
    assert standard.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_raw_outputs_get_a_softmax() -> None:
    check(make_model([], ["product"]))


def test_outputs_under_our_names_are_kept() -> None:
    tail = [softmax("product", "probabilities"), helper.make_node("Identity", ["product"], ["logits"])]
    check(make_model(tail, ["logits", "probabilities"]))


def test_an_output_called_logits_that_is_a_softmax_is_the_probabilities() -> None:
    check(make_model([softmax("product", "logits")], ["logits"]))


def test_an_inner_tensor_with_one_of_our_names_makes_way() -> None:
    tail = [helper.make_node("Relu", ["product"], ["probabilities"]), softmax("probabilities")]
    model = standardize(make_model(tail, ["answer"]))
    onnx.checker.check_model(model, full_check=True)
    assert np.allclose(run(model)["logits"], np.maximum(expected_logits(), 0), atol=1e-6)


def test_identities_inert_dropout_and_needless_casts_go() -> None:
    tail = [
        helper.make_node("Identity", ["product"], ["a"]),
        helper.make_node("Dropout", ["a"], ["b"]),
        helper.make_node("Cast", ["b"], ["c"], to=FLOAT),
        softmax("c", "d"),
        helper.make_node("Identity", ["d"], ["answer"]),
    ]
    assert not {"Identity", "Dropout", "Cast"} & set(operators(check(make_model(tail, ["answer"]))))


def test_a_computed_flatten_becomes_a_constant() -> None:
    from export.canonical import canonicalize

    assert operators(canonicalize(check(make_model([softmax()], ["answer"])))) == ["Reshape", "MatMul", "Softmax"]


def test_one_sigmoid_becomes_two_classes() -> None:
    column = onnx.numpy_helper.from_array(KERNEL[:1].T.copy(), "column")
    tail = [
        helper.make_node("MatMul", ["product", "column"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["answer"]),
    ]
    model = make_model(tail, ["answer"])
    model.graph.initializer.append(column)
    standard = standardize(model)
    onnx.checker.check_model(standard, full_check=True)
    answers, score = run(standard), expected_logits() @ KERNEL[:1].T
    assert np.allclose(answers["logits"][:, 1:] - answers["logits"][:, :1], score, atol=1e-5)
    assert np.allclose(answers["probabilities"][:, 1:], 1 / (1 + np.exp(-score)), atol=1e-6)


def weight(model: Any, name: str, values: Any) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(values), name))


def check_probabilities(model: Any, expected: np.ndarray) -> Any:
    """Publish what a model answers as it is, with logits whose softmax it is."""
    standard = standardize(model)
    onnx.checker.check_model(standard, full_check=True)
    answers = run(standard)
    assert np.allclose(answers["probabilities"], expected, atol=1e-6)
    assert np.allclose(as_probabilities(answers["logits"]), expected, atol=1e-6)
    return standard


def as_probabilities(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_the_mean_of_two_softmaxes_gets_no_third() -> None:
    tail = [
        softmax("product", "chances"),
        helper.make_node("Neg", ["product"], ["negative"]),
        softmax("negative", "others"),
        helper.make_node("Mean", ["chances", "others"], ["answer"]),
    ]
    logits = expected_logits()
    model = make_model(tail, ["answer"])
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3
    check_probabilities(model, (as_probabilities(logits) + as_probabilities(-logits)) / 2)


def test_a_softmax_that_is_only_reshaped_keeps_its_own_logits() -> None:
    """A fully convolutional classifier ends in a softmax and Flatten."""
    tail = [
        helper.make_node("Reshape", ["product", "map"], ["shaped"]),
        softmax("shaped", "chances"),
        helper.make_node("Flatten", ["chances"], ["answer"]),
    ]
    model = make_model(tail, ["answer"])
    weight(model, "map", np.array([-1, 1, 1, 3], np.int64))
    check(model)


def test_probabilities_that_are_nothing_have_finite_logits() -> None:
    tail = [
        helper.make_node("Mul", ["product", "thousand"], ["sharp"]),
        softmax("sharp", "chances"),
        helper.make_node("Mean", ["chances", "chances"], ["answer"]),
    ]
    model = make_model(tail, ["answer"])
    weight(model, "thousand", np.float32(1000))
    standard = check_probabilities(
        model, as_probabilities(1000 * (expected_logits() - expected_logits().max(1)[:, None]))
    )
    assert np.isfinite(run(standard)["logits"]).all()


@pytest.mark.parametrize(
    "tail",
    [
        [
            helper.make_node("Sigmoid", ["product"], ["chances"]),
            helper.make_node("Concat", ["chances", "chances"], ["answer"], axis=1),
        ],
        [
            helper.make_node("Sigmoid", ["product"], ["chances"]),
            helper.make_node("Mul", ["chances", "hundred"], ["answer"]),
        ],
        [softmax("product", "chances"), helper.make_node("Add", ["chances", "chances"], ["answer"])],
        [softmax("product", "chances"), helper.make_node("Mul", ["chances", "hundred"], ["answer"])],
        [softmax("product", "chances"), helper.make_node("Concat", ["chances", "chances"], ["answer"], axis=1)],
        [helper.make_node("Clip", ["product", "least", "most"], ["answer"])],
    ],
)
def test_finished_scores_that_are_no_distribution_are_refused(tail: list[Any]) -> None:
    model = make_model(tail, ["answer"])
    for name, value in (("hundred", 100), ("least", 0), ("most", 1)):
        weight(model, name, np.float32(value))
    with pytest.raises(CannotExport, match="no distribution"):
        standardize(model)


def test_a_swish_is_no_finished_score() -> None:
    tail = [
        helper.make_node("Sigmoid", ["product"], ["gate"]),
        helper.make_node("Mul", ["product", "gate"], ["answer"]),
    ]
    logits = run(standardize(make_model(tail, ["answer"])))["logits"]
    assert np.allclose(logits, expected_logits() / (1 + np.exp(-expected_logits())), atol=1e-6)


def test_the_logarithm_of_a_softmax_is_logits() -> None:
    tail = [softmax("product", "chances"), helper.make_node("Log", ["chances"], ["answer"])]
    answers = run(standardize(make_model(tail, ["answer"])))
    assert np.allclose(answers["logits"], np.log(as_probabilities(expected_logits())), atol=1e-6)


@pytest.mark.parametrize("kind", ["Sigmoid", "HardSigmoid"])
def test_independent_scores_are_refused(kind: str) -> None:
    with pytest.raises(CannotExport, match=kind):
        standardize(make_model([helper.make_node(kind, ["product"], ["answer"])], ["answer"]))


def test_probabilities_that_no_softmax_made_are_refused() -> None:
    with pytest.raises(CannotExport, match="Relu"):
        standardize(make_model([helper.make_node("Relu", ["product"], ["probabilities"])], ["probabilities"]))


def test_two_answers_are_refused_by_name() -> None:
    with pytest.raises(CannotExport, match=r"`flat`.*`product`|`product`.*`flat`"):
        standardize(make_model([], ["flat", "product"]))


def test_an_input_of_another_rank_is_refused() -> None:
    with pytest.raises(CannotExport, match="2 dimensions"):
        standardize(make_model([], ["product"], sides=("n", 4)))
