"""What all data sets of documents with features share: loaders, statistics, and one whole batch of each part."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from ltr.batch import FeatureLists
from ltr.data.base import Part, PartName, RankingData
from ltr.data.collections.shares import sliced
from ltr.data.features.learnable import warnings_of
from ltr.data.features.standardise import Normalisation, Target
from ltr.data.features.table import FeatureEncoder, FeatureTable
from ltr.data.lists.batching import EvalBatches, TrainBatches
from ltr.data.lists.loaders import Loader, TrainLoader
from ltr.data.lists.ragged import Ragged
from ltr.data.lists.sampling import Drawn, Pool
from ltr.errors import ConfigError
from ltr.io.caching.keys import key_of_facts
from ltr.io.labelled import LabelledLists
from ltr.io.trec import Qrels
from ltr.settings import FeatureSettings

log = logging.getLogger("ltr")


class FeatureData(RankingData):
    """Lists of documents with features, to train, validate and test feature scorers on; see the classes built on it.

    Batches hold raw features: a scorer normalises them itself, with the statistics of ``normalisation``, which
    training hands to it once. Every epoch puts the documents of a list in another order, reproducibly by seed.

    Args:
        parts: part (``train``, ``dev``, ``test``) -> file or share of a file, or None.
        settings: further settings that decide what is learnt; part of the signature.
    """

    #: what a share of a file such as ``log.csv[:80%]`` is a share of: ``lists`` or ``items``
    split_by: str = "lists"
    #: a file of judgements of the test part, beside its labels; None where there is none
    test_judgements: str | None = None

    def __init__(
        self,
        parts: dict[str, str | None],
        log1p: bool,
        standardise: bool,
        lists_per_batch: int,
        docs_per_list: int | None,
        eval_docs_per_batch: int,
        n_features: int | None,
        seed: int,
        workers: int,
    ):
        super().__init__(parts["train"], parts["dev"], parts["test"])
        name = type(self).__name__
        if not any(parts.values()):
            raise ConfigError(f"{name}: name a file to train, dev or test on, got none")
        counts = {"lists_per_batch": lists_per_batch, "eval_docs_per_batch": eval_docs_per_batch}
        for what, count, least in (*((w, c, 1) for w, c in counts.items()), ("docs_per_list", docs_per_list, 2)):
            if count is not None and count < least:
                raise ConfigError(f"{name}: {what} must be at least {least}, got {count}")
        if n_features is not None and n_features < 1:
            raise ConfigError(f"{name}: n_features must be at least 1, or null to count them, got {n_features}")
        if seed < 0 or workers < 0:
            raise ConfigError(f"{name}: seed and workers must not be negative, got {seed} and {workers}")
        self.log1p, self.standardise = log1p, standardise
        self.lists_per_batch, self.docs_per_list = lists_per_batch, docs_per_list
        self.eval_docs_per_batch, self.seed, self.workers = eval_docs_per_batch, seed, workers
        self._declared = n_features
        self._files: dict[str, FeatureTable] = {}
        self._parts: dict[str, FeatureTable] = {}
        self._tables: dict[str, FeatureTable] = {}
        self._qrels: dict[str, Qrels] = {}
        self._fitted: Normalisation | None = None
        self._pool: Pool | None = None

    # ------------------------------------------------------------------ what a subclass says

    def read(self, path: str) -> FeatureTable:
        """The whole of one file."""
        raise NotImplementedError(f"{type(self).__name__} must define read(path) -> FeatureTable")

    def share(self, table: FeatureTable, low: float, high: float) -> FeatureTable:
        """What ``FILE[low%:high%]`` is of a whole file: a share of its lists, or of its items as ``split_by`` says."""
        return table.share_of_items(low, high) if self.split_by == "items" else table.share(low, high)

    @property
    def has_grades(self) -> bool:
        """Whether labels are whole-number grades, from which judgements can be made."""
        return False

    @property
    def target(self) -> Target | None:
        """How the file's labels become what is learnt; None where they are taken as they are."""
        return None

    @property
    def unit(self) -> str:
        """The unit of the files' labels, in words; empty where it is not known."""
        return ""

    @property
    def reading(self) -> dict[str, Any]:
        """The settings that say how a file is read: a module with the same ones reads another file alike."""
        return {}

    # ------------------------------------------------------------------ what Lightning calls

    def prepare_data(self) -> None:
        """Parse files that are not in the cache yet, on one process."""
        for part in self.named:
            self._source(part)

    def setup(self, stage: str | None = None) -> None:
        """Read what a stage needs."""
        for part in self.needed(stage):
            self._table(part)
        if stage == "fit" and self.train is not None:
            self.normalisation  # noqa: B018 (fitted here, before the clock of training runs)
            for warning in warnings_of(self._plain("train")):
                log.warning("%s: %s", self.train, warning)

    def train_dataloader(self) -> DataLoader:
        """Batches of training lists."""
        rank, ranks = self.place
        batches = TrainBatches(self._draw, self.lists_per_batch, None, self.seed, rank, ranks, epoch=self.epoch)
        return TrainLoader(FeatureEncoder(self._table("train")), batches, lambda: self.batches_done, self.workers)

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        """Batches of dev lists; no loader where ``dev`` is not set."""
        return self._eval_loader("dev") if self.dev is not None else []

    def test_dataloader(self) -> DataLoader:
        """Batches of test lists."""
        return self._eval_loader("test")

    # ------------------------------------------------------------------ what others read

    @property
    def n_features(self) -> int:
        """Numbers that describe a document: as declared, or the most that any named part has."""
        return self._declared or max(self._source(part).n_features for part in self.named)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, where the files have them."""
        return self._source(self.named[0]).names

    @property
    def normalisation(self) -> Normalisation | None:
        """What scorers do to raw features first, fitted on train; None without a train part."""
        if self.train is None:
            return None
        if self._fitted is None:
            self._fitted = Normalisation.fit(self._plain("train").features, self.log1p, self.standardise)
        return self._fitted

    def whole(self, part: str) -> FeatureLists:
        """A part (``train``, ``dev`` or ``test``) as one batch in file order, with labels and ids.

        Features are raw, as scorers get them in batches; ``normalisation`` is what they make of them.
        """
        table = self._table(part)
        return FeatureEncoder(table)[table.drawn()]

    def labels_of(self, part: str) -> LabelledLists:
        """The labels of a part in file order, in full precision: what is learnt, and what the file says."""
        table, target = self._plain(part), self.target
        unit = self.unit if target is None else target.unit(self.unit)
        return LabelledLists(
            table.query_ids, table.offsets, self._table(part).labels, table.labels, (), unit, self.unit
        )

    def table(self, part: str) -> FeatureTable:
        """A part as it stands in its file: lists, items, features, and labels in the file's unit."""
        return self._plain(part)

    @property
    def train_labels(self) -> np.ndarray | None:
        return None if self.train is None else self._table("train").labels

    @property
    def back(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """Turns predictions into the unit of the files; None where they are in that unit."""
        return None if self.target is None else self.target.back

    def part(self, name: PartName) -> Part:
        """Lists in file order; judgements where labels are grades, and no first stage."""
        return Part(list(self._table(name).query_ids), self._judged(name), None, self.labels_of(name))

    @property
    def inputs(self) -> FeatureSettings:
        how = self.normalisation
        return FeatureSettings(
            self.n_features,
            log1p=how is not None and how.log1p,
            feature_names=self.feature_names,
            target={} if self.target is None else asdict(self.target),
            shift=None if how is None else how.shift,
            scale=None if how is None else how.scale,
            unit=self.unit,
            mean_label=self.mean_label,
            reading=self.reading,
            trained_on=self.trained_on,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that change what is learnt or measured."""
        names = ("log1p", "standardise", "lists_per_batch", "docs_per_list", "seed")
        return {"n_features": self.n_features, **{name: getattr(self, name) for name in names}}

    @property
    def signature(self) -> str:
        """16 hexadecimal digits that change whenever files, shares or settings of the data do."""
        shares = {part: (sliced(getattr(self, part)) or (None, 0, 1))[1:] for part in self.named}
        facts = {part: [self.digest(part), *share] for part, share in shares.items()}
        return key_of_facts([facts, self.settings])

    def digest(self, part: PartName) -> str:
        """Digits of the content of a part's whole file, which is read once: it may be a pipe."""
        return self._source(part).digest

    @property
    def counts(self) -> dict[str, dict[str, float]]:
        """For each part that has been read: lists, documents per list, lowest and highest label."""
        return {
            part: {
                "lists": table.n_lists,
                "docs_per_list": table.n_docs / table.n_lists,
                "lowest": float(table.labels.min()),
                "highest": float(table.labels.max()),
            }
            for part, table in self._parts.items()
        }

    def describe(self) -> str:
        """What the data are, a line for each part: to be read before training starts."""
        lines = []
        for part, facts in self.counts.items():
            batches = f", {len(self.train_dataloader())} batches an epoch" if part == "train" else ""
            lines.append(
                f"{part + ':':<6} {getattr(self, part)}: {facts['lists']:,} lists of {facts['docs_per_list']:.1f} documents"
                f"{batches}, {self.n_features} features, labels from {facts['lowest']:g} to {facts['highest']:g}"
            )
        for path in dict.fromkeys(self._path(part) for part in self.counts):
            lines += [f"{path}: {note}" for note in self._files[path].notes]
        return "\n".join(lines)

    # ------------------------------------------------------------------ how it works

    def _path(self, part: str) -> str:
        """The file that a part is, or is a share of."""
        name = getattr(self, part)
        if name is None:
            raise ConfigError(f"{type(self).__name__}: {part} is not set; name a file")
        share = sliced(name)
        return share[0] if share else name

    def _source(self, part: str) -> FeatureTable:
        """The whole of that file."""
        path = self._path(part)
        if path not in self._files:
            self._files[path] = self.read(path)
        return self._files[path]

    def _plain(self, part: str) -> FeatureTable:
        """A part with the file's own labels."""
        if part not in self._parts:
            table = self._source(part)
            share = sliced(getattr(self, part))
            if share:
                table = self.share(table, *share[1:])
            self._parts[part] = table.widened(self.n_features)
        return self._parts[part]

    def _table(self, part: str) -> FeatureTable:
        """A part with the labels that are learnt."""
        if part not in self._tables:
            table = self._plain(part)
            self._tables[part] = table if self.target is None else table.labelled(self.target)
        return self._tables[part]

    def _judged(self, part: str) -> Qrels | None:
        if self.has_grades and part not in self._qrels:
            self._qrels[part] = self._table(part).qrels()
        return self._qrels.get(part)

    def _draw(self, epoch: int) -> tuple[Drawn, np.ndarray]:
        """The training lists of an epoch and the number of documents in each."""
        if self._pool is None:
            table = self._table("train")
            docs = Ragged(np.arange(table.n_docs, dtype=np.int32), table.offsets)
            none = Ragged(np.zeros(0, np.int32), np.zeros(table.n_lists + 1, np.int64))
            self._pool = Pool(
                query_ids=list(table.query_ids),
                doc_ids=[],
                first=none,
                first_labels=np.zeros(0, np.float32),
                rest=docs,
                rest_labels=table.labels.astype(np.float32),
                relevant=none,
                most=self.docs_per_list,
            )
        lists = self._pool.draw(np.arange(len(self._pool)), self.seed, epoch)
        return lists, np.diff(lists.offsets)

    def _eval_loader(self, part: str) -> DataLoader:
        table = self._table(part)
        lists, sizes = table.drawn(), np.diff(table.offsets)
        rank, ranks = self.place
        batches = EvalBatches(lists, sizes, sizes, self.eval_docs_per_batch, rank, ranks)
        return Loader(FeatureEncoder(table), batches, self.workers)
