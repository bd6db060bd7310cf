"""Replace the layers of a network whose result for a row depends on the rest of the batch, or on random numbers."""

from torch import nn

from autobird.model.batch_norm import GlobalBatchNorm
from autobird.model.distributed import Processes
from autobird.model.row_dropout import BatchRows, RowDropout, RowDropoutAttention


def share_layers(network: nn.Module, processes: Processes, batch: BatchRows) -> None:
    """Make a network, in place, compute the same for a row of a batch as one process that has the whole batch.

    Layers of dropout are replaced for one process too, which then draws the same numbers. Names and values of parameters and buffers
    stay the same.

    Args:
        network: the network.
        processes: processes that share the batch.
        batch: rows of the step, which the caller sets before each step.
    """
    for name, layer in network.named_children():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            if processes.size > 1:
                setattr(network, name, GlobalBatchNorm(layer, processes))
        elif isinstance(layer, nn.MultiheadAttention):
            setattr(network, name, RowDropoutAttention(layer, batch))
        elif isinstance(layer, nn.Dropout):
            setattr(network, name, RowDropout(layer.p, batch).train(layer.training))
        else:
            share_layers(layer, processes, batch)
