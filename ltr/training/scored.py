"""What a validation scored: flat predictions with their labels and ids, in the order of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.distributed as dist
from torch import Tensor

from ltr.batch import Lists
from ltr.errors import LtrError
from ltr.inference.scoring import Scored
from ltr.io.trec import Run
from ltr.metrics.measures.labels import LabelledLists


@dataclass(frozen=True, eq=False)
class ScoredLists:
    """The scores of one part of the data.

    Lists stand in the order of ``data.dev_query_ids`` (``test_query_ids``) where the data have it, else in that in which
    their loader gave them; documents as in their list. Neither the number of processes nor the batch size changes it.

    Attributes:
        part: ``"dev"`` or ``"test"``.
        scores: [documents] float32 predictions.
        truth: what was scored: ``query_ids``, ``offsets`` [lists + 1], ``labels``, ``gains`` and ``doc_ids``, all in the
            order of the scores.
    """

    part: str
    scores: np.ndarray
    truth: LabelledLists

    @classmethod
    def of(cls, part: str, scored: Sequence[Scored], labels: Sequence[np.ndarray], data: Any) -> ScoredLists:
        """From what ``score`` yields and the labels of each list.

        Args:
            part: ``"dev"`` or ``"test"``.
            scored: of each list.
            labels: [docs] of each list.
            data: the data module; its ``gains`` turns labels back where they were transformed.
        """
        place = {query_id: i for i, query_id in enumerate(getattr(data, f"{part}_query_ids", None) or ())}
        order = sorted(range(len(scored)), key=lambda i: place.get(scored[i].query_id, len(place)))
        lists = [scored[i] for i in order]
        flat = _flat([labels[i] for i in order])
        truth = LabelledLists(
            [one.query_id for one in lists],
            np.cumsum([0, *(len(one.scores) for one in lists)]),
            flat,
            gains_of(flat, data, part),
            [doc_id for one in lists for doc_id in one.doc_ids],
        )
        return cls(part, _flat([one.scores for one in lists]), truth)

    @property
    def run(self) -> Run:
        """The same as a ranking of each list, named after the part."""
        t = self.truth
        return Run(t.query_ids, t.offsets, t.doc_ids, self.scores, self.part)


def gathered(scored: list[Scored], labels: list[np.ndarray]) -> tuple[list[Scored], list[np.ndarray]]:
    """The lists of all processes, those of the first process first."""
    if not distributed():
        return scored, labels
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, (scored, labels))
    return [one for theirs, _ in found for one in theirs], [one for _, theirs in found for one in theirs]


def distributed() -> bool:
    """Whether several processes work together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def labels_of(batch: Lists, purpose: str = "training") -> Tensor:
    """[documents] labels of a batch. Raises LtrError where it has none."""
    if batch.labels is None:
        raise LtrError(f"RankingModule: a {purpose} batch must have labels, got none")
    return batch.labels


def labels_by_list(batch: Lists) -> list[np.ndarray]:
    """[docs] labels of each list of a batch that is validated or tested."""
    labels = labels_of(batch, "validation").detach().float().cpu().numpy()
    return np.split(labels, batch.list_offsets[1:-1].tolist()) if len(batch) else []


def gains_of(labels: np.ndarray, data: Any, part: str) -> np.ndarray | None:
    """What the data say that labels of a part are worth; None where that is the labels themselves."""
    if not hasattr(data, "gains"):
        return None
    gains = np.asarray(data.gains(labels, part), np.float64)
    # labels were float32 in their batch: turned back, no seconds may come out a little below 0
    rounding = 1e-6 * np.abs(gains).max(initial=0.0)
    return np.where((gains < 0) & (gains > -rounding), 0.0, gains)


def _flat(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)
