"""Collections by name: ir-datasets ids, the embedded pydocs, and plain folders, all as ir-datasets objects."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import ir_datasets

from ltr.data.collections import pydocs
from ltr.data.collections.docstore import LineStore
from ltr.data.collections.downloads import each, quieten, reading
from ltr.data.collections.folder import WHAT_A_FOLDER_HOLDS, FolderFiles, folder_dataset, holds_docs
from ltr.data.collections.ids import Ids
from ltr.data.collections.shares import share_of, sliced
from ltr.data.readable import readable
from ltr.errors import DataError
from ltr.io.caching.keys import key_of_parts
from ltr.io.names import suggestion
from ltr.io.runs import Run
from ltr.io.trec import Qrels, qrels_from

T = TypeVar("T")

#: names that a hint lists
SHOWN = 12

quieten()


class Collection:
    """Documents, queries, judgements and first-stage scores of one data set.

    Texts stay where they are and are looked up by document id. Half of a surrogate pair in one is given as U+FFFD.

    Args:
        name: shown in tables and messages.
        dataset: the ir-datasets object behind it, for everything that is not repeated here.
        docs_signature: what identifies the documents; key of indexes and token caches, equal for all splits.
        signature: what identifies documents, queries and judgements together.
        runs: run files that come with a plain folder, by name.
        qrels_hint: end of the message when there are no judgements, such as which splits have some.
    """

    def __init__(
        self,
        name: str,
        dataset: ir_datasets.Dataset,
        docs_signature: str,
        signature: str,
        runs: dict[str, Path] | None = None,
        qrels_hint: str = "",
    ):
        self.name, self.dataset = name, dataset
        self.docs_signature, self.signature = docs_signature, signature
        self.runs = runs or {}
        self._qrels_hint = qrels_hint
        # which part of the (judged) queries belongs to it, between two shares; documents always all do
        self._share = (0.0, 1.0)

    def __repr__(self) -> str:
        return f"Collection({self.name!r})"

    @property
    def has_qrels(self) -> bool:
        """Whether there are judgements."""
        return self.dataset.has_qrels()

    @property
    def has_scoreddocs(self) -> bool:
        """Whether the data set brings first-stage scores of its own."""
        return self.dataset.has_scoreddocs()

    @property
    def has_docpairs(self) -> bool:
        """Whether the data set brings training triples."""
        return self.dataset.has_docpairs()

    @cached_property
    def queries(self) -> dict[str, str]:
        """Query id -> text, in the order of the source. Raises DataError when there are none."""
        self._needs(self.dataset.has_queries(), "queries")
        texts = self._read(
            "queries", lambda: {q.query_id: readable(q.default_text()) for q in self.dataset.queries_iter()}
        )
        if self._share == (0.0, 1.0):
            return texts
        chosen = share_of([q for q in texts if q in self._judged] if self.has_qrels else texts, *self._share)
        if not chosen:
            raise DataError(f"{self.name}: this share of {len(texts)} queries is empty; take a larger one")
        return {q: text for q, text in texts.items() if q in chosen}

    @cached_property
    def qrels(self) -> Qrels:
        """Query id -> document id -> grade. Raises DataError when there are none."""
        if self._share == (0.0, 1.0):
            return self._judged
        return {q: docs for q, docs in self._judged.items() if q in self.queries}

    @cached_property
    def _judged(self) -> Qrels:
        """The judgements of all queries."""
        self._needs(self.has_qrels, "judgements", self._qrels_hint)
        return self._read("judgements", lambda: qrels_from(self.dataset.qrels_iter()))

    @cached_property
    def n_docs(self) -> int:
        """The number of documents; counted once where the data set does not know it."""
        self._needs_docs()
        return self._read("documents", lambda: self.dataset.docs_count() or sum(1 for _ in self.dataset.docs_iter()))

    def docs(self) -> Iterator[tuple[str, str]]:
        """(document id, text) of all documents, in the order of the source."""
        return ((doc.doc_id, readable(doc.default_text())) for doc in self.documents())

    def doc_ids(self) -> Iterator[str]:
        """All document ids, in the order of the source."""
        return (doc.doc_id for doc in self.documents())

    def documents(self) -> Iterator[Any]:
        """All documents as ir-datasets gives them, in the order of the source. Raises DataError when there are none."""
        self._needs_docs()
        return each(self._read("documents", self.dataset.docs_iter), self.name, "documents")

    def texts(self, doc_ids: Sequence[str]) -> list[str]:
        """Title and text of documents, in the order asked; an id may occur several times.

        Raises:
            DataError: naming the first id that has no document.
        """
        store = self._store()
        wanted = list(dict.fromkeys(doc_ids))
        texts = self._read(
            "documents", lambda: {d: readable(doc.default_text()) for d, doc in store.get_many(wanted).items()}
        )
        try:
            return [texts[doc_id] for doc_id in doc_ids]
        except KeyError as error:
            raise DataError(
                f"{self.name}: no document with id {error}; run and judgements must speak of this collection's "
                f"documents (ltr data check --dataset {self.name} lists what is missing)"
            ) from None

    def missing(self, doc_ids: Iterable[str]) -> list[str]:
        """Those of ``doc_ids`` that have no document, in order of first appearance."""
        store = self._store()
        if isinstance(store, LineStore):  # knows without reading texts, which takes ten times as long
            ids = doc_ids if isinstance(doc_ids, Ids) else Ids.of(list(doc_ids))
            return list(self._read("documents", lambda: store.absent(ids.distinct())))
        left, gone = iter(dict.fromkeys(doc_ids)), []
        while chunk := list(islice(left, 10_000)):  # never more than a chunk of texts in memory
            with reading(self.name, "documents"):
                stored = store.get_many(chunk)
            gone += [doc_id for doc_id in chunk if doc_id not in stored]
        return gone

    def scoreddocs(self) -> Run:
        """The first-stage scores that the data set brings. Raises DataError when there are none."""
        known = f"the folder has the runs {', '.join(self.runs)}" if self.runs else "make some with ltr retrieve"
        self._needs(self.has_scoreddocs, "first-stage scores", known)
        scores: dict[str, dict[str, float]] = {}
        records = self._read("first-stage scores", self.dataset.scoreddocs_iter)
        for record in each(records, self.name, "first-stage scores"):
            scores.setdefault(record.query_id, {})[record.doc_id] = float(record.score)
        return Run.from_dict(scores, name="scoreddocs")

    def docpairs(self) -> Iterator[tuple[str, str, str]]:
        """(query id, id of the better document, id of the worse). Raises DataError when there are none."""
        self._needs(self.has_docpairs, "training triples", "train on lists from judgements and candidates instead")
        pairs = each(self._read("training triples", self.dataset.docpairs_iter), self.name, "training triples")
        kept = None if self._share == (0.0, 1.0) else self.queries
        return ((p.query_id, p.doc_id_a, p.doc_id_b) for p in pairs if kept is None or p.query_id in kept)

    def _needs(self, there: bool, what: str, hint: str = "") -> None:
        if not there:
            raise DataError(f"{self.name}: this collection has no {what}" + (f"; {hint}" if hint else ""))

    def _needs_docs(self) -> None:
        self._needs(self.dataset.has_docs(), "documents", self._below())

    def _below(self) -> str:
        """Which ids of ir-datasets begin with this one's name, as a hint."""
        below = sorted(
            {i[len(self.name) + 1 :].split("/")[0] for i in ir_datasets.registry if i.startswith(f"{self.name}/")}
        )
        more = f" and {len(below) - SHOWN} more" if len(below) > SHOWN else ""
        return f"below {self.name}/ there are {', '.join(below[:SHOWN])}{more}" if below else ""

    def _store(self) -> Any:
        self._needs_docs()
        return self._read("documents", self.dataset.docs_store)

    def _read(self, what: str, read: Callable[[], T]) -> T:
        """Reading may download: whatever goes wrong there becomes a sentence that names the collection."""
        with reading(self.name, what):
            return read()


def load(name: str | os.PathLike) -> Collection:
    """The collection of a name.

    Args:
        name: an ir-datasets id such as ``beir/scifact/train``; ``pydocs`` or ``pydocs/train|dev|test``; or the path of
            a plain folder, with a split behind it or without (``my/folder/dev``). Where an id and a folder have the
            same name the id is meant; ``./name`` means the folder. A share of the queries is written behind any of
            these: ``beir/scifact/train[:80%]`` and ``beir/scifact/train[80%:]`` share no query.

    Raises:
        DataError: for a name that is none of these, with the nearest id; for a folder without documents; for a
            split that the folder does not have.
    """
    text = os.fspath(name)
    part = sliced(text)
    if part is not None:
        whole, *share = part
        collection = load(whole)
        collection.name, collection._share = text, (share[0], share[1])
        collection.signature = key_of_parts(collection.signature, *map(str, share))
        return collection
    first, _, rest = text.partition("/")
    if first == "pydocs":
        if rest not in ("", *pydocs.SPLITS):
            raise DataError(f"pydocs: no split {rest!r}; {suggestion(rest, pydocs.SPLITS)}")
        return _folder(pydocs.build(), rest or None, text)
    if _is_id(text):
        return _registered(text)
    path = Path(text).expanduser()
    if path.is_dir():
        return _folder(path, None, text)
    if holds_docs(path.parent):
        return _folder(path.parent, path.name, text)
    known = [*ir_datasets.registry, "pydocs"]
    hint = suggestion(text, known)
    near = f"{hint} " if hint.startswith("did you mean") else ""  # not all of a thousand ids
    raise DataError(
        f"no collection {text!r}: {near}A name is an ir-datasets id (https://ir-datasets.com), pydocs, or the path of "
        f"a folder that holds {WHAT_A_FOLDER_HOLDS}"
    )


def is_published(name: str) -> bool:
    """Whether a name is an id of ir-datasets, or a share of one; no file is read, nothing is downloaded.

    >>> is_published("beir/scifact/train[:80%]"), is_published("my/folder/train")
    (True, False)
    """
    part = sliced(name) if name.endswith("]") else None
    return _is_id(name if part is None else part[0])


def _is_id(name: str) -> bool:
    try:
        ir_datasets.load(name)
    except KeyError:
        return False
    return True


def _registered(name: str) -> Collection:
    dataset: Any = ir_datasets.load(name)
    release = version("ir-datasets")
    docs = ir_datasets.docs_parent_id(name) if dataset.has_docs() else name
    hint = f"the ids below {name} may have some: see https://ir-datasets.com"
    return Collection(name, dataset, key_of_parts(docs, release), key_of_parts(docs, name, release), qrels_hint=hint)


def _folder(path: Path, split: str | None, name: str) -> Collection:
    files = FolderFiles(path, split)
    hint = f"splits of this folder: {', '.join(files.splits)} (write {name}/{files.splits[0]})" if files.splits else ""
    return Collection(
        name,
        folder_dataset(files),
        key_of_parts(files.docs_key),
        key_of_parts(*files.key_parts),
        runs=files.runs,
        qrels_hint=hint,
    )
