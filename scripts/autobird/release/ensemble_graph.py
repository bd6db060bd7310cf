"""One ONNX graph that averages the outputs of several networks."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import compose, helper, numpy_helper
from scipy.special import log_expit, log_softmax, logsumexp

from autobird.predict.classification import Outputs
from autobird.release.onnx_files import OPSET, OUTPUT

Average = Literal["logits", "probabilities"]

AVERAGES: tuple[Average, ...] = ("logits", "probabilities")
"""What an ensemble averages. `logits`: the logits, which is the geometric mean of the odds; `probabilities`: the probabilities before
calibration, whose mean is returned as a logit."""


def average_logits(logits: Sequence[NDArray[np.floating]], outputs: Outputs, average: Average) -> NDArray[np.float64]:
    """Return the logits of an ensemble; shape (windows, species).

    Args:
        logits: of each network, each of shape (windows, species).
        outputs: what the outputs of the networks mean.
        average: what is averaged.
    """
    stacked = np.stack([np.asarray(z, np.float64) for z in logits])
    if average == "logits":
        return np.asarray(stacked.mean(axis=0))
    if outputs == "softmax":
        return np.asarray(logsumexp(log_softmax(stacked, axis=2), axis=0) - np.log(len(stacked)))
    return np.asarray(logsumexp(log_expit(stacked), axis=0) - logsumexp(log_expit(-stacked), axis=0))


def ensemble_graph(models: Sequence[onnx.ModelProto], outputs: Outputs, average: Average) -> onnx.ModelProto:
    """Return a graph with the input and the output of the networks, which holds all of them and averages their outputs.

    The average is that of `average_logits`. What reads the graph of a single network can read it: bundle, server, quantization.

    Args:
        models: graphs with one input and the output `logits`; of the same shapes.
        outputs: what the outputs of the networks mean.
        average: what is averaged.
    """
    first = models[0].graph
    source = first.input[0].name
    graph = onnx.GraphProto()
    graph.name = "ensemble"
    graph.input.extend(first.input)
    graph.output.extend(first.output)
    names = []
    for number, model in enumerate(models):
        prefix = f"network{number}/"
        part = compose.add_prefix(model, prefix).graph
        for node in part.node:
            node.input[:] = [source if name == prefix + source else name for name in node.input]
        graph.node.extend(part.node)
        graph.initializer.extend(part.initializer)
        names.append(prefix + OUTPUT)
    nodes, constants = _average_nodes(names, outputs, average)
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    combined = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    combined.ir_version = models[0].ir_version
    onnx.checker.check_model(combined)
    return combined


def _average_nodes(
    names: Sequence[str], outputs: Outputs, average: Average
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return the nodes that average logits into `OUTPUT`, and their constants.

    Args:
        names: of the logits.
        outputs: what they mean.
        average: what is averaged.
    """
    if average == "logits":
        return [helper.make_node("Mean", names, [OUTPUT], name="average")], []
    # Sums of logarithms instead of probabilities: ONNX Runtime's sigmoid is 0 from a logit of -18 on.
    stack = [helper.make_node("Unsqueeze", [name, "first"], [f"{name}/row"], name=f"{name}/row") for name in names]
    stack.append(helper.make_node("Concat", [f"{name}/row" for name in names], ["stack"], name="stack", axis=0))
    constants = [numpy_helper.from_array(np.array([0], np.int64), "first")]
    if outputs == "softmax":
        constants.append(numpy_helper.from_array(np.array(np.log(len(names)), np.float32), "count"))
        return [
            *stack,
            helper.make_node("LogSoftmax", ["stack"], ["logarithms"], name="logarithms", axis=2),
            helper.make_node("ReduceLogSumExp", ["logarithms"], ["sum"], name="sum", axes=[0], keepdims=0),
            helper.make_node("Sub", ["sum", "count"], [OUTPUT], name="average"),
        ], constants
    return [
        *stack,
        helper.make_node("Neg", ["stack"], ["negative"], name="negative"),
        *_log_of_sum("negative", "present"),
        *_log_of_sum("stack", "absent"),
        helper.make_node("Sub", ["present", "absent"], [OUTPUT], name="average"),
    ], constants


def _log_of_sum(negated: str, name: str) -> list[onnx.NodeProto]:
    """Return the nodes that compute the logarithm of the sum of sigmoid(z) over the networks from -z; `name` is that of the result."""
    return [
        helper.make_node("Softplus", [negated], [f"{name}/softplus"], name=f"{name}/softplus"),
        helper.make_node("Neg", [f"{name}/softplus"], [f"{name}/log"], name=f"{name}/log"),
        helper.make_node("ReduceLogSumExp", [f"{name}/log"], [name], name=name, axes=[0], keepdims=0),
    ]
