"""EngagementData: documents with features and an amount of engagement, such as seconds watched or read."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ltr.data.features.columns import Columns, read_columns
from ltr.data.features.feature_data import FeatureData
from ltr.data.features.standardise import Target
from ltr.data.features.svmlight import read_svmlight
from ltr.data.features.table import FeatureTable
from ltr.data.judged import judgements_beside
from ltr.errors import ConfigError, DataError
from ltr.io.names import suggestion
from ltr.io.sources import Source
from ltr.io.trec import Qrels

#: endings of tables with named columns, packed or not; every other file is read as SVMlight
TABLES = (".csv", ".tsv", ".parquet", ".pq")
#: endings of files that are neither
FOREIGN = (".json", ".jsonl", ".ndjson", ".xlsx", ".xls", ".feather", ".arrow", ".pickle", ".pkl", ".npz")


class EngagementData(FeatureData):
    """Documents with features and an amount of engagement (dwell seconds, or any other), as lists.

    Each part is a table with named columns (.csv, .tsv, .parquet, packed or not), or an SVMlight file with the amount as label, or a
    share of one such as ``log.csv[:80%]`` and ``log.csv[80%:]``, which have no list in common. The columns of an SVMlight
    file are named by a ``features.txt`` beside it (``1<TAB>duration`` on each line), else ``1``, ``2`` and so on.

    What is learnt is ``log(1 + amount)``, standardised on request; nDCG with the label as gain sums up the amounts as they
    were read. There are no judgements, except what ``test_judgements`` says of the test part: monitor measures of labels.

    Args:
        train: file to train on.
        dev: file to validate on.
        test: file to test on when training is over.
        split_by: what ``[:80%]`` and ``[80%:]`` share out: ``lists``, or ``items``, whose documents then never stand in both.
            Take items where they recur in many lists: a scorer that has seen them in training looks better than it is.
        list_id: column of the list (a session, a query, a topic); rows need not stand together.
        item_id: column of the document; null gives ``LIST-CODE-LINE``.
        label: column of the amount, 0 or more; a column of durations counts in seconds. Its name is the unit that tables of
            results name. (An SVMlight file has no such column: there it is the unit alone.)
        features: columns in order; null takes all other columns of numbers and durations, and says which are left out.
        weight: column of the importance, such as how many sessions an amount was measured in, scaled to a mean of 1 over
            its file; null for 1. Not for SVMlight files.
        weigh: ``documents`` (for pointwise losses), or ``lists``, which get the mean over their documents.
        duration: column of the item's own length, which engagement depends on.
        use_duration: whether it is a feature (a covariate); otherwise scorers do not see it.
        transform: ``log1p`` learns log(1 + amount), ``none`` the amount.
        standardise_label: bring what is learnt to mean 0 and standard deviation 1 (of train).
        test_judgements: a TREC file of judgements of the test's lists and items, where amounts are something else, such as
            a teacher's scores: then measures of judgements and of labels stand side by side.
        log1p: scorers take the logarithm of features first, sign(x) log(1 + abs(x)).
        standardise: scorers bring each feature to mean 0 and standard deviation 1 (of train).
        lists_per_batch: training lists in an optimiser step's batch, over all processes.
        docs_per_list: most documents of a training list, drawn anew each epoch; null takes all.
        eval_docs_per_batch: most documents in a validation batch, unless one list alone has more.
        seed: decides order and draws.
        workers: loader processes; 0 loads in the training process, which is fast enough.

    Raises:
        ConfigError: no part, or a setting outside its range.
        DataError: what is wrong with a file, by row and column.
    """

    def __init__(
        self,
        train: str | None = None,
        dev: str | None = None,
        test: str | None = None,
        split_by: Literal["lists", "items"] = "lists",
        list_id: str = "list_id",
        item_id: str | None = "item_id",
        label: str = "seconds",
        features: list[str] | None = None,
        weight: str | None = None,
        weigh: Literal["documents", "lists"] = "documents",
        duration: str | None = None,
        use_duration: bool = True,
        transform: Literal["log1p", "none"] = "log1p",
        standardise_label: bool = False,
        log1p: bool = True,
        standardise: bool = True,
        lists_per_batch: int = 16,
        docs_per_list: int | None = None,
        eval_docs_per_batch: int = 32_768,
        seed: int = 0,
        workers: int = 0,
        test_judgements: str | None = None,
    ):
        parts = {"train": train, "dev": dev, "test": test}
        super().__init__(
            parts, log1p, standardise, lists_per_batch, docs_per_list, eval_docs_per_batch, None, seed, workers
        )
        for what, given, known in (
            ("split_by", split_by, ("lists", "items")),
            ("weigh", weigh, ("documents", "lists")),
            ("transform", transform, ("log1p", "none")),
        ):
            if given not in known:
                raise ConfigError(f"EngagementData: {what} must be {' or '.join(known)}, got {given!r}")
        if features is not None and not features:
            raise ConfigError(
                "EngagementData: features must name a column, or be null for all columns of numbers, got []"
            )
        self.list_id, self.item_id, self.label, self.features = list_id, item_id, label, features
        self.weight, self.weigh, self.split_by = weight, weigh, split_by
        self.duration, self.use_duration = duration, use_duration
        self.transform, self.standardise_label = transform, standardise_label
        if test_judgements is not None and test is None:
            raise ConfigError(f"EngagementData: test_judgements {test_judgements} judge the test, and no test is named")
        self.test_judgements = test_judgements
        self._target: Target | None = None

    def read(self, path: str) -> FeatureTable:
        """A whole file with the columns that are features: those of the first part, in every part."""
        features = None if self.features is None else tuple(self.features)
        first = self._path(self.named[0])
        if path != first:
            features = self._source(self.named[0]).names
        covariate, left_out = (self.duration, None) if self.use_duration else (None, self.duration)
        columns = Columns(self.list_id, self.item_id, self.label, features, self.weight, covariate, left_out)
        source = Source(path, "data")
        if source.stem.endswith(FOREIGN):
            raise DataError(f"EngagementData: {path} is no table that is read; write it as .csv, .tsv or .parquet")
        if not source.stem.endswith(TABLES):
            return self._svmlight(source, columns)
        table = read_columns(source, columns)
        return table if table.weights is None or self.weigh == "documents" else _weighing_lists(table)

    @property
    def target(self) -> Target:
        if self._target is None:
            log1p = self.transform == "log1p"
            if self.standardise_label and self.train is None:
                raise ConfigError(
                    "EngagementData: standardise_label takes mean and deviation from train, which is not set"
                )
            labels = self._plain("train").labels if self.standardise_label else np.zeros(0)
            self._target = Target.fit(labels, log1p, self.standardise_label)
        return self._target

    @property
    def unit(self) -> str:
        return self.label

    @property
    def reading(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("list_id", "item_id", "label", "split_by")}

    @property
    def settings(self) -> dict[str, Any]:
        names = (
            "split_by",
            "label",
            "features",
            "weight",
            "weigh",
            "duration",
            "use_duration",
            "transform",
            "standardise_label",
        )
        # what came later counts only where it is set: signatures stay
        judged = {} if self._judgements is None else {"test_judgements": self._judgements.digest()}
        return {**super().settings, **{name: getattr(self, name) for name in names}, **judged}

    @cached_property
    def _judgements(self) -> Source | None:
        """The file that judges the test, of which a pipe is read once."""
        return None if self.test_judgements is None else Source(self.test_judgements, "judgements")

    def _judged(self, part: str) -> Qrels | None:
        if part != "test" or self._judgements is None:
            return None
        if part not in self._qrels:
            lists, advice = self._table(part).query_ids, f"its queries must be the values of {self.list_id}"
            self._qrels[part] = judgements_beside(self._judgements, lists, str(self.test), advice)
        return self._qrels[part]

    def _svmlight(self, path: Source, columns: Columns) -> FeatureTable:
        if self.weight is not None:
            raise ConfigError(
                f"EngagementData: {path} is read as SVMlight, which has no column for weight {self.weight!r}"
            )
        table = read_svmlight(path)
        if (table.labels < 0).any():
            at = int(np.argmax(table.labels < 0))
            raise DataError(f"{path}:{table.lines[at]}: an amount must not be negative, got {table.labels[at]:g}")
        place = names_beside(path.path, table.n_features)
        wanted = columns.chosen(place)
        for name in (*wanted, *([columns.left_out] if columns.left_out else [])):
            # without names, an index beyond those of this file is a column of zeros
            if name not in place and not (name.isdecimal() and "1" in place):
                raise DataError(f"{path}: no feature {name!r}; {suggestion(name, place)}")
        chosen = np.array([place[name] if name in place else int(name) - 1 for name in wanted])
        table = table.widened(max(table.n_features, int(chosen.max()) + 1))
        return replace(table, names=wanted, features=table.features[:, chosen])


def _weighing_lists(table: FeatureTable) -> FeatureTable:
    """With a weight for each list: the mean over its documents."""
    assert table.weights is not None
    return replace(table, weights=np.add.reduceat(table.weights, table.offsets[:-1]) / np.diff(table.offsets))


def names_beside(path: Path, n_features: int) -> dict[str, int]:
    """Feature name -> column, from the ``features.txt`` beside a file; without one the indices are the names.

    Raises:
        DataError: a line that is not an index and a name, or a name or index twice.
    """
    beside = path.parent / "features.txt"
    if not beside.is_file():
        return {str(i + 1): i for i in range(n_features)}
    place: dict[str, int] = {}
    for number, line in enumerate(beside.read_text(encoding="utf-8").splitlines(), 1):
        index, _, name = line.strip().partition("\t")
        if not line.strip():
            continue
        if not (index.isdecimal() and int(index) > 0 and name.strip()):
            raise DataError(f"{beside}:{number}: a line reads INDEX<TAB>NAME with an index from 1, got {line!r}")
        if name.strip() in place or int(index) - 1 in place.values():
            raise DataError(f"{beside}:{number}: index and name must be new on each line, got {line!r}")
        place[name.strip()] = int(index) - 1
    return place
