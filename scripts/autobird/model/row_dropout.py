"""Dropout whose random numbers belong to the rows of the whole batch, so that they do not depend on how processes share it."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BatchRows:
    """The rows of the whole batch that this process computes in the current step.

    Attributes:
        rows: positions of the rows in the whole batch; shape (rows,).
        total: number of rows of the whole batch.
    """

    def __init__(self) -> None:
        self.set(slice(0, 0), 0)

    def set(self, own: slice, total: int) -> None:
        """Start a batch of `total` rows, of which this process computes `own`."""
        self.rows, self.total = torch.arange(total)[own], total

    def append(self, own: slice, count: int) -> None:
        """Append `count` rows to the batch, of which this process computes `own`."""
        self.rows = torch.cat([self.rows, self.total + torch.arange(count)[own]])
        self.total += count

    def drop(self, x: Tensor, p: float) -> Tensor:
        """Set a share `p` of the values of shape (rows, ...) to zero, and divide the others by 1 - p.

        All processes draw the numbers of the whole batch from torch's generator, which all have seeded alike.
        """
        if not p:
            return x
        kept = torch.empty((self.total, *x.shape[1:]), dtype=x.dtype, device=x.device).bernoulli_(1 - p).div_(1 - p)
        return x * (kept if len(self.rows) == self.total else kept[self.rows.to(x.device)])


class RowDropout(nn.Dropout):
    """`nn.Dropout` with the random numbers of `BatchRows`."""

    def __init__(self, p: float, batch: BatchRows) -> None:
        super().__init__(p)
        self.batch = batch

    def forward(self, x: Tensor) -> Tensor:
        """Return values of shape (rows, ...), in training with some of them set to zero."""
        return self.batch.drop(x, self.p) if self.training else x


class RowDropoutAttention(nn.MultiheadAttention):
    """Self-attention as `nn.MultiheadAttention` with `batch_first=True` computes it, with the random numbers of `BatchRows`.

    Args:
        attention: the attention that this one replaces; its parameters are shared.
        batch: rows of the step.
    """

    def __init__(self, attention: nn.MultiheadAttention, batch: BatchRows) -> None:
        super().__init__(attention.embed_dim, attention.num_heads, attention.dropout, batch_first=True)
        assert attention.batch_first
        assert attention.in_proj_weight is not None
        self._parameters.update(attention._parameters)
        self.out_proj = attention.out_proj
        self.batch = batch
        self.train(attention.training)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        """Return the attention of a sequence to itself, shape (rows, length, width); see `nn.MultiheadAttention`."""
        if not self.training:
            return super().forward(query, key, value, *args, **kwargs)
        assert query is key is value
        rows, length, width = query.shape
        parts = F.linear(query, self.in_proj_weight, self.in_proj_bias)
        q, k, v = parts.reshape(rows, length, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(self.head_dim), dim=-1)
        mixed = self.batch.drop(weights, self.dropout) @ v
        return self.out_proj(mixed.transpose(1, 2).reshape(rows, length, width)), None
