"""Stage `prune`: remove the least important channels (structured pruning), fine-tune, and write ONNX."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from autobird.audio.amplitude_scaling import scaling_of
from autobird.audio.settings import MelSettings
from autobird.core.files import read_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.model.checkpoint import Checkpointer, training_id
from autobird.model.data import WindowDataset
from autobird.model.loop import Trainer
from autobird.model.networks import BasicBlock, CnnTransformer
from autobird.model.precision import make_deterministic, select_precision
from autobird.model.settings import TrainSettings
from autobird.model.teaching import TeachingFiles, add_arguments, teaching_of
from autobird.model.train import fit
from autobird.model.trained import load_trained
from autobird.model.training_windows import training_windows
from autobird.release.onnx_files import export
from autobird.release.settings import PruneSettings

_MULTIPLE = 8
"""The number of channels that are kept is a multiple of this, because the int8 kernels of CPUs compute 8 at a time."""


def prune(network: nn.Module, share: float) -> nn.Module:
    """Remove a share of the inner channels of a network, in place.

    In a residual block, the inner channels are those between its two convolutions: the widths of its input and output stay
    the same. In the CNN + transformer, they are the channels after the first convolution and the hidden units of the
    feed-forward layers. The importance of a channel is the L1 norm of the weights that compute it (Li et al. 2017), times
    the scale of the batch normalisation after it.

    Args:
        network: the trained network.
        share: share of the inner channels that is removed, 0 to 1; rounded so that multiples of 8 channels remain.

    Returns:
        `network`.
    """
    for module in network.modules():
        if isinstance(module, BasicBlock):
            _prune_pair(module, "conv1", "norm1", "conv2", share)
        elif isinstance(module, CnnTransformer):
            _prune_pair(module.cnn, "0", "1", "4", share)
        elif isinstance(module, nn.TransformerEncoderLayer):
            _prune_pair(module, "linear1", None, "linear2", share)
    return network


def _prune_pair(owner: nn.Module, first: str, norm: str | None, second: str, share: float) -> None:
    """Remove the least important outputs of layer `first`, and the inputs of layer `second` that they are connected to."""
    a, b = getattr(owner, first), getattr(owner, second)
    scale = getattr(owner, norm) if norm else None
    importance = a.weight.detach().abs().flatten(1).sum(1)
    if scale is not None:
        importance = importance * scale.weight.detach().abs() / torch.sqrt(scale.running_var + scale.eps)
    count = max(_MULTIPLE, round(len(importance) * (1 - share) / _MULTIPLE) * _MULTIPLE)
    if count >= len(importance):
        return
    kept = torch.topk(importance, count).indices.sort().values
    setattr(owner, first, _slice_layer(a, kept, 0))
    setattr(owner, second, _slice_layer(b, kept, 1))
    if norm and scale is not None:
        small = nn.BatchNorm2d(count).train(scale.training)
        small.load_state_dict({k: v[kept] if v.dim() else v for k, v in scale.state_dict().items()})
        setattr(owner, norm, small)


def _slice_layer(layer: nn.Module, kept: Tensor, axis: int) -> nn.Module:
    """Return a copy of a convolution or linear layer that has only the outputs (axis 0) or inputs (axis 1) in `kept`."""
    weight = layer.weight.detach().index_select(axis, kept)  # type: ignore[operator]
    bias = layer.bias.detach() if layer.bias is not None else None  # type: ignore[operator]
    if bias is not None and axis == 0:
        bias = bias[kept]
    small: nn.Module
    if isinstance(layer, nn.Conv2d):
        outputs, inputs = weight.shape[:2]
        small = nn.Conv2d(inputs, outputs, layer.kernel_size, layer.stride, layer.padding, bias=bias is not None)  # type: ignore[arg-type]
    else:
        small = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    small.load_state_dict({"weight": weight} | ({"bias": bias} if bias is not None else {}))
    return small


def fine_tuning(settings: TrainSettings, prune: PruneSettings) -> TrainSettings:
    """Return the training settings for fine-tuning: fewer epochs, and a lower learning rate that decays to zero.

    A student learns from the labels and the teacher from the first step on.
    """
    return settings.model_copy(
        update={
            "epochs": prune.prune_epochs,
            "learning_rate": min(prune.prune_learning_rate, settings.learning_rate),
            "schedule": "one_cycle",
            "select": "last",
            "teacher_only": 0.0,
        }
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--weights", type=Path, required=True)
    p.add_argument("--index", type=Path, required=True)
    p.add_argument("--shards", type=Path, nargs="+", required=True)
    p.add_argument("--code", default="", help="code fingerprint; part of the name of the checkpoint")
    p.add_argument("--checkpoints", required=True, help="folder or URL where checkpoints are kept between attempts")
    add_arguments(p)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(PruneSettings, args.settings)
    with stage("prune", args, [args.output]):
        model = read_json(args.model)
        network, recipe = load_trained(model, args.weights)
        recipe = fine_tuning(recipe, settings)
        before = sum(q.numel() for q in network.parameters())
        prune(network, settings.prune)
        after = sum(q.numel() for q in network.parameters())
        log.info("%d of %d parameters kept", after, before)

        compute = select_precision(recipe)
        make_deterministic(recipe.threads)
        front_end = MelSettings.model_validate(model["features"])
        scaling, softmax = scaling_of(front_end), recipe.outputs == "softmax"
        train = training_windows(args.index, model["labels"], args.shards, front_end, recipe)
        validation = WindowDataset.from_split(
            args.index, "validation", model["labels"], args.shards, model["frames"], scaling, softmax
        )
        files = TeachingFiles.of(args)
        teaching = teaching_of(files, args.index, model["frames"], network, recipe, compute.device)
        trainer = Trainer(network, train, validation, recipe, compute, teaching)
        inputs = [args.model, args.weights, args.index, *args.shards, *(files.all() if files else [])]
        name = training_id([args.settings, args.code, str(compute)], inputs)
        tuned = fit("prune", trainer, Checkpointer(args.checkpoints, name, trainer))
        network.load_state_dict(tuned)
        export(network.cpu(), model["features"]["mels"], model["frames"], args.output)


if __name__ == "__main__":
    run(main)
