"""What a validation scored: flat predictions with their labels and ids, in the order of the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ltr.batch import Lists
from ltr.errors import LtrError
from ltr.inference.scoring import Scored
from ltr.io.labelled import LabelledLists
from ltr.io.offsets import offsets_of
from ltr.training.processes import from_all

if TYPE_CHECKING:  # which brings Lightning
    from ltr.data.base import Part


def predictions_of(
    name: str, scored: Sequence[Scored], labels: Sequence[np.ndarray], part: Part
) -> tuple[np.ndarray, LabelledLists]:
    """[documents] float32 scores of a part of the data, and the lists that they belong to.

    Lists stand in the order that the part has (``Part.query_ids``), else in that in which their loader gave them; documents
    as in their list. Neither the number of processes nor the batch size changes it.

    Args:
        name: ``"dev"`` or ``"test"``.
        scored: of each list, what ``score`` yields.
        labels: [docs] of each list, as the batches had them; used only where the part does not know its labels.
        part: what the data say of it.
    """
    place = {query_id: i for i, query_id in enumerate(part.query_ids or ())}
    order = sorted(range(len(scored)), key=lambda i: place.get(scored[i].query_id, len(place)))
    lists = [scored[i] for i in order]
    offsets = offsets_of(np.array([len(one.scores) for one in lists], np.int64))
    doc_ids = [doc_id for one in lists for doc_id in one.doc_ids]
    known = part.labels
    flat = _flat([labels[i] for i in order]) if known is None else None
    truth = truth_of(name, [one.query_id for one in lists], offsets, doc_ids, flat, known)
    return _flat([one.scores for one in lists]), truth


def gathered(scored: list[Scored], labels: list[np.ndarray]) -> tuple[list[Scored], list[np.ndarray]]:
    """The lists of all processes, those of the first process first."""
    everyone = from_all((scored, labels))
    return [one for theirs, _ in everyone for one in theirs], [one for _, theirs in everyone for one in theirs]


def truth_of(
    part: str,
    query_ids: list[str],
    offsets: np.ndarray,
    doc_ids: list[str],
    labels: np.ndarray | None,
    known: LabelledLists | None,
) -> LabelledLists:
    """Lists that were scored, with the labels that their predictions are measured against.

    Args:
        part: ``"dev"`` or ``"test"``, for errors.
        query_ids: one per list.
        offsets: [lists + 1].
        doc_ids: one per document.
        labels: [documents] of the batches, which are labels and gains where nothing else is known.
        known: all labels of the part; those of a document are found by its list and its place in it.

    Raises:
        LtrError: a list that the data do not know, or that has another number of documents there.
    """
    if known is None:
        return LabelledLists(query_ids, offsets, np.zeros(0) if labels is None else labels, None, doc_ids)
    place = {query_id: i for i, query_id in enumerate(known.query_ids)}
    labelled, sizes = np.diff(known.offsets), np.diff(offsets)
    for query_id, size in zip(query_ids, sizes.tolist(), strict=True):
        held = int(labelled[place[query_id]]) if query_id in place else 0
        if held != size:
            raise LtrError(f"{part}: list {query_id} was scored with {size} documents, and the data label {held} of it")
    starts = known.offsets[[place[query_id] for query_id in query_ids]]
    rows = np.repeat(starts - offsets[:-1], sizes) + np.arange(offsets[-1])
    lengths = None if known.lengths is None else known.lengths[rows]
    return LabelledLists(
        query_ids, offsets, known.labels[rows], known.gains[rows], doc_ids, known.unit, known.gain_unit, lengths
    )


def labels_of(batch: Lists, purpose: str = "training") -> Tensor:
    """[documents] labels of a batch. Raises LtrError where it has none."""
    if batch.labels is None:
        raise LtrError(f"RankingModule: a {purpose} batch must have labels, got none")
    return batch.labels


def labels_by_list(batch: Lists) -> list[np.ndarray]:
    """[docs] labels of each list of a batch that is validated or tested."""
    labels = labels_of(batch, "validation").detach().float().cpu().numpy()
    return np.split(labels, batch.list_offsets[1:-1].tolist()) if len(batch) else []


def _flat(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)
