"""Whether training labels can teach anything, and features that already hold them: told before training starts."""

from __future__ import annotations

import numpy as np

from ltr.data.features.table import FeatureTable
from ltr.errors import DataError

#: documents from which on a feature in the order of the labels is no chance
MANY = 10
#: documents that are looked at first, which settles nearly every feature
FEW = 1000


def warnings_of(table: FeatureTable) -> list[str]:
    """What a user should know of a training part before it is learnt from.

    Raises:
        DataError: all labels are equal, so that nothing can be learnt.
    """
    labels = np.asarray(table.labels)
    if (labels == labels[0]).all():
        raise DataError(
            f"{table.source}: all {table.n_docs} training labels are {labels[0]:g}, so there is nothing to learn; look at the "
            "column or the part that was named"
        )
    begins, sizes = table.offsets[:-1], np.diff(table.offsets)
    single = int((sizes == 1).sum())
    same = int((np.minimum.reduceat(labels, begins) == np.maximum.reduceat(labels, begins)).sum())
    said = []
    if same:
        said.append(
            f"{same} of {table.n_lists} training lists ({same / table.n_lists:.0%}) have one label for all documents"
            f"{f', {single} of them a single document' if single else ''}: losses of pairs and lists learn nothing from these"
        )
    return [*said, *_copies(table, labels)]


def _copies(table: FeatureTable, labels: np.ndarray) -> list[str]:
    """Names of features that order all documents as the labels do, or the other way round."""
    if table.n_docs < MANY:
        return []
    order = np.argsort(labels, kind="stable")
    steps = np.diff(labels[order]) > 0
    warnings = []
    few = order[:: max(1, len(order) // FEW)]
    for i in range(table.n_features):
        if _in_order(table.features[few, i], np.diff(labels[few]) > 0) and _in_order(table.features[order, i], steps):
            warnings.append(table.names[i] if table.names else str(i + 1))
    return [
        f"the feature {name} puts all documents in the order of their labels: if it is made of the label, what is measured is "
        "too good, and it will be missing where documents are to be ranked"
        for name in warnings
    ]


def _in_order(values: np.ndarray, steps: np.ndarray) -> bool:
    """Whether values in the order of labels rise (or fall) where the labels do, and stay where these stay."""
    change = np.diff(np.asarray(values, np.float64))
    return bool(np.array_equal(change > 0, steps) and not (change < 0).any()) or bool(
        np.array_equal(change < 0, steps) and not (change > 0).any()
    )
