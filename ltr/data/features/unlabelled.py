"""Documents with features whose labels nobody knows, to predict them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ltr.data.features.columns import ColumnFile, features_of
from ltr.data.features.engagement import TABLES, names_beside
from ltr.data.features.svmlight import read_svmlight
from ltr.errors import DataError
from ltr.io.ids import query_fault
from ltr.io.names import suggestion
from ltr.io.sources import Source


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Documents in the order of their file.

    Attributes:
        lines: [documents] where each stands in the file.
        features: [documents, features] float32.
        lists: [documents] id of each one's list, or None where the file names no lists: then all are one.
        items: [documents] id of each, or None.
    """

    lines: np.ndarray
    features: np.ndarray
    lists: np.ndarray | None
    items: np.ndarray | None

    def grouped(self) -> tuple[np.ndarray, np.ndarray]:
        """(numbers of the documents with those of a list together, [lists] how many each has)."""
        if self.lists is None:
            return np.arange(len(self.lines)), np.array([len(self.lines)])
        number = {name: i for i, name in enumerate(dict.fromkeys(self.lists.tolist()))}
        owners = np.array([number[name] for name in self.lists.tolist()])
        return np.argsort(owners, kind="stable"), np.bincount(owners)


def read_unlabelled(
    path: str,
    names: Sequence[str],
    n_features: int,
    list_id: str | None = None,
    item_id: str | None = None,
    trained: Mapping[str, str | None] | None = None,
) -> Unlabelled:
    """The documents of a table with named columns, or of an SVMlight file, whose labels are not looked at.

    Args:
        path: the file; see ``EngagementData``.
        names: of the features, in order; empty where they have none, as those of SVMlight files.
        n_features: how many there are.
        list_id: column of the list; None takes that of the training where there is one.
        item_id: column of the document; None takes that of the training where there is one.
        trained: the names that these columns had in training (``FeatureSettings.reading``); those that it does not hold are
            ``list_id`` and ``item_id``.

    Raises:
        DataError: a feature that the file does not have, and what is wrong with it, by row and column.
    """
    source = Source(path, "data")
    if not source.stem.endswith(TABLES):
        return _of_svmlight(source, names, n_features)
    if not names:
        raise DataError(
            f"{path}: the model's {n_features} features have no names, so no columns are theirs; give SVMlight"
        )
    names_then = {"list_id": "list_id", "item_id": "item_id", **(trained or {})}
    of_list, of_item = list_id or names_then["list_id"], item_id or names_then["item_id"]
    file = ColumnFile(source, [name for name in (of_list, of_item) if name], names)
    lists = file.texts(of_list, query_fault) if of_list and (list_id or of_list in file.frame.columns) else None
    items = file.texts(of_item) if of_item and (item_id or of_item in file.frame.columns) else None
    return Unlabelled(file.lines, features_of(file, names)[0], lists, items)


def _of_svmlight(source: Source, names: Sequence[str], n_features: int) -> Unlabelled:
    table = read_svmlight(source)
    if not names and table.n_features > n_features:
        raise DataError(f"{source}: it has {table.n_features} features, and the model was trained on {n_features}")
    place = names_beside(source.path, max(table.n_features, n_features))
    for name in names:
        if name not in place:
            raise DataError(f"{source}: no feature {name!r}; {suggestion(name, place)}")
    chosen = [place[name] for name in names] if names else list(range(n_features))
    table = table.widened(max(table.n_features, max(chosen) + 1))
    owners = np.repeat(np.arange(table.n_lists), np.diff(table.offsets)).tolist()
    items = np.array(table.doc_ids(np.arange(table.n_docs)), object)
    lists = np.array([table.query_ids[i] for i in owners], object)
    return Unlabelled(np.asarray(table.lines), table.features[:, chosen], lists, items)
