"""Self-attention over the list: what a document's score is depends on the documents beside it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from ltr.batch import FeatureLists
from ltr.errors import ConfigError
from ltr.scorers.features.scorers import FeatureScorer, check_dropout

#: pairs of documents that attend to each other at once; more lists are taken in several goes
PAIRS = 2**22


class AttentionScorer(FeatureScorer):
    """Documents of a list see each other, through layers of self-attention; their order in the list does not matter.

    Features are projected to ``width``, go through ``layers`` blocks (normalise, attend to the list, normalise, two-layer
    perceptron; each added to what came in), and a linear head scores each document. There are no positions, so permuting
    a list permutes its scores. Lists are never padded against each other's documents: a list alone scores as in a batch.

    Args:
        width: of a document's state, a multiple of ``heads``.
        layers: number of blocks.
        heads: of the attention.
        dropout: of attention and states, in [0, 1).
        n_features: see ``FeatureScorer``.

    Raises:
        ConfigError: a width that is no multiple of ``heads``, less than one layer or head, a dropout outside [0, 1).

    Source:
        Pang et al., "SetRank: Learning a Permutation-Invariant Ranking Model for Information Retrieval", SIGIR 2020;
        Pobrotyn et al., "Context-Aware Learning to Rank with Self-Attention", eCom 2020.
    """

    def __init__(
        self, width: int = 64, layers: int = 2, heads: int = 4, dropout: float = 0.0, n_features: int | None = None
    ):
        if min(layers, heads) < 1 or width < heads or width % heads:
            raise ConfigError(
                "AttentionScorer: needs at least one layer and head, and a width that is a multiple of heads; got "
                f"width {width}, layers {layers}, heads {heads}"
            )
        check_dropout("AttentionScorer", dropout)
        self.width, self.depth, self.heads, self.dropout = width, layers, heads, dropout
        super().__init__(n_features)

    @property
    def arguments(self) -> dict[str, Any]:
        return {"width": self.width, "layers": self.depth, "heads": self.heads, "dropout": self.dropout}

    def layers(self, n_features: int) -> tuple[nn.Module, nn.Module]:
        blocks = [Block(self.width, self.heads, self.dropout) for _ in range(self.depth)]
        encoder = nn.ModuleList([nn.Linear(n_features, self.width), *blocks])
        return encoder, nn.Sequential(nn.LayerNorm(self.width), nn.Linear(self.width, 1))

    def encoded(self, normalised: Tensor, batch: FeatureLists) -> Tensor:
        parts = iter(self.encoder.children())
        # a document that is read in several rows is there with all of them
        ends = batch.list_offsets if batch.row_offsets is None else batch.row_offsets[batch.list_offsets]
        states, goes = next(parts)(normalised), plan(ends)
        for block in parts:
            states = block(states, goes)
        return states


class Block(nn.Module):
    """Attention to the documents of the own list, then a perceptron, each with normalisation before and added to its input."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, states: Tensor, goes: list[tuple[Tensor, Tensor]]) -> Tensor:
        """[documents, width] -> the same; ``goes`` are those of ``plan``."""
        states = states + self.drop(self.join(self._attended(self.project(self.before(states)), goes)))
        return states + self.drop(self.narrow(self.drop(gelu(self.widen(self.between(states))))))

    def _attended(self, projected: Tensor, goes: list[tuple[Tensor, Tensor]]) -> Tensor:
        if not goes:
            return projected[:, : projected.shape[1] // 3]
        outputs, rows = [], []
        for at, mask in goes:
            # [lists, heads, docs, width of a head] each; filler repeats the list's first document, and is masked as a key
            query, key, value = projected[at].unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
            full = bool(mask.all())
            attended = scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=None if full else mask[:, None, None, :],
                dropout_p=self.dropout if self.training else 0.0,
            )
            outputs.append(attended.transpose(1, 2).flatten(2)[mask])
            rows.append(at[mask])
        return torch.cat(outputs)[torch.cat(rows).argsort()]


def plan(offsets: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Which lists attend in one go: lists of similar size, at most ``PAIRS`` pairs of documents unless one has more.

    Args:
        offsets: [lists + 1] of documents.

    Returns:
        For each go the document numbers [lists, docs] and a mask of the real ones; where it is False, the number is that
        of the list's first document.

    >>> [at.tolist() for at, mask in plan(torch.tensor([0, 1, 3]))]
    [[[0, 0], [1, 2]]]
    """
    sizes = offsets.diff()
    order = sizes.argsort(stable=True)[int((sizes == 0).sum()) :]  # without empty lists
    ascending = sizes[order].tolist()
    goes, start = [], 0
    while start < len(ascending):
        stop = start + 1
        while stop < len(ascending) and (stop + 1 - start) * ascending[stop] ** 2 <= PAIRS:
            stop += 1
        lists = order[start:stop]
        places = torch.arange(ascending[stop - 1], device=offsets.device)
        mask = places < sizes[lists, None]
        goes.append((offsets[:-1][lists, None] + places * mask, mask))
        start = stop
    return goes
