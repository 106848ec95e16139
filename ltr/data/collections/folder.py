"""A plain folder of documents, queries and judgements, served as an ir-datasets object."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from ir_datasets import Dataset
from ir_datasets.formats import BaseDocs, BaseQrels, BaseQueries, GenericQrel, GenericQuery

from ltr.data.collections.docstore import FolderDoc, LineStore, content_hash, lines_of
from ltr.data.collections.headers import refuse_header
from ltr.errors import DataError
from ltr.io.ids import query_fault, shown
from ltr.io.names import suggestion
from ltr.io.sources import PACKED, Source
from ltr.io.trec import read_qrels

#: a file as it is, or packed
ENDINGS = ("", *PACKED.values())
#: the same for patterns
PACKING = "|".join(map(re.escape, ENDINGS))
DOCS_FILES = tuple(f"docs.{kind}{ending}" for kind in ("jsonl", "tsv") for ending in ENDINGS)
WHAT_A_FOLDER_HOLDS = "docs.jsonl or docs.tsv, queries.tsv, qrels[.SPLIT].trec, run.NAME.trec, each as it is or packed (.gz, .bz2, .xz, .zst)"


def holds_docs(path: Path) -> bool:
    """Whether a path is a folder with a docs file."""
    return any((path / name).is_file() for name in DOCS_FILES)


class FolderFiles:
    """Which files of a plain folder belong to a split.

    Args:
        folder: the folder.
        split: None takes ``qrels.trec`` and all of ``queries.tsv``; a name takes ``qrels.NAME.trec`` and
            ``queries.NAME.tsv``, or, where there is none, those queries of ``queries.tsv`` that the split judges.
    """

    def __init__(self, folder: Path, split: str | None = None):
        self.folder, self.split = folder, split
        names = {p.name for p in folder.iterdir()}
        docs = [name for name in DOCS_FILES if name in names]
        if len(docs) != 1:
            got = f"both {' and '.join(docs)}" if docs else "no documents"
            raise DataError(f"folder {folder}: it must hold one docs file, found {got}; {WHAT_A_FOLDER_HOLDS}")
        self.docs = folder / docs[0]
        self.splits = sorted(
            m[2] for name in names if (m := re.fullmatch(rf"(qrels|queries)\.([^.]+)\.(trec|tsv)({PACKING})", name))
        )
        if split is not None and split not in self.splits:
            raise DataError(f"folder {folder}: no split {split!r}; {suggestion(split, self.splits)}")
        self.qrels = self._one(names, "qrels", "trec")
        own = self._one(names, "queries", "tsv")
        common = next((folder / n for n in _packings("queries.tsv") if n in names), None)
        self.queries = own or common
        #: whether the split's queries are those that it judges
        self.judged_only = split is not None and own is None and self.qrels is not None
        self.runs = self._runs(names)
        for path in filter(None, (self.docs, self.queries, self.qrels, *self.runs.values())):
            if not path.is_file():
                raise DataError(
                    f"folder {folder}: {path.name} must be a file, which can be read again; it is {_kind(path)}"
                )

    def _one(self, names: set[str], stem: str, ending: str) -> Path | None:
        name = f"{stem}.{self.split}.{ending}" if self.split else f"{stem}.{ending}"
        return next((self.folder / n for n in _packings(name) if n in names), None)

    def _runs(self, names: set[str]) -> dict[str, Path]:
        runs = {
            m[1]: self.folder / name
            for name in sorted(names)
            if (m := re.fullmatch(rf"run\.(.+)\.trec({PACKING})", name))
        }
        own = {n.removesuffix(f".{self.split}"): p for n, p in runs.items() if n.endswith(f".{self.split}")}
        return {**runs, **own}

    @cached_property
    def docs_key(self) -> str:
        """What identifies the documents."""
        return content_hash(self.docs)

    @property
    def key_parts(self) -> list[str]:
        """What identifies documents, queries and judgements."""
        return [self.docs_key, str(self.judged_only)] + [
            content_hash(p) if p else "-" for p in (self.queries, self.qrels)
        ]


def _packings(name: str) -> list[str]:
    """Names under which a file may lie."""
    return [f"{name}{ending}" for ending in ENDINGS]


def _kind(path: Path) -> str:
    """What a path is that is no file."""
    if not path.exists():
        return f"a link to {os.readlink(path)}, which is not there"
    return "a folder" if path.is_dir() else "a pipe" if path.is_fifo() else "a device"


class DocsIter:
    """Documents of a store in order; slices and single positions as ir-datasets gives them."""

    def __init__(self, store: LineStore, positions: range):
        self._store, self._positions = store, positions
        self._at = iter(positions)

    def __iter__(self) -> DocsIter:
        return self

    def __next__(self) -> FolderDoc:
        return self._store.at(next(self._at))

    def __getitem__(self, key: int | slice) -> FolderDoc | DocsIter:
        if isinstance(key, slice):
            return DocsIter(self._store, self._positions[key])
        return self._store.at(self._positions[key])


class FolderDocs(BaseDocs):
    """Documents of a plain folder."""

    def __init__(self, files: FolderFiles):
        self._path, self._store = files.docs, LineStore(files.docs, files.docs_key)

    def docs_path(self, force: bool = True) -> Path:
        return self._path

    def docs_iter(self) -> DocsIter:
        return DocsIter(self._store, range(len(self._store)))

    def docs_store(self, *_: Any, **__: Any) -> LineStore:
        return self._store

    def docs_count(self) -> int:
        return len(self._store)

    def docs_cls(self) -> type:
        return FolderDoc


class FolderQueries(BaseQueries):
    """Queries of a plain folder: ``query_id<TAB>text`` lines."""

    def __init__(self, files: FolderFiles):
        self._files = files

    def queries_path(self) -> Path | None:
        return self._files.queries

    def queries_iter(self) -> Iterator[GenericQuery]:
        kept = read_qrels(self._files.qrels) if self._files.judged_only and self._files.qrels else None
        assert self._files.queries is not None
        return (q for q in read_queries(self._files.queries) if kept is None or q.query_id in kept)


class FolderQrels(BaseQrels):
    """Judgements of a plain folder, in TREC form."""

    def __init__(self, path: Path):
        self._path = path

    def qrels_path(self) -> Path:
        return self._path

    def qrels_iter(self) -> Iterator[GenericQrel]:
        for query_id, docs in read_qrels(self._path).items():
            yield from map(GenericQrel, itertools.repeat(query_id), docs, docs.values())

    def qrels_defs(self) -> dict[int, str]:
        return {}


def read_queries(path: str | os.PathLike | Source) -> Iterator[GenericQuery]:
    """Queries of a file of ``query_id<TAB>text`` lines, packed or not.

    Raises:
        DataError: naming file and line, for a line that is not of this form (such as one that names columns) or an id that
            occurs twice.
    """
    seen: dict[str, int] = {}
    path = Source.of(path, "queries")
    for number, line in lines_of(path):
        query_id, tab, text = line.partition("\t")
        if not tab or not query_id or "\t" in text:
            raise DataError(f"{path}:{number}: a query line is query_id<TAB>text, got {line[:80]!r}")
        if not seen:
            refuse_header([query_id, text], f"{path}:{number}", "queries")
        if wrong := query_fault(query_id):
            raise DataError(f"{path}:{number}: query id {shown(query_id)} {wrong}")
        if seen.setdefault(query_id, number) != number:
            raise DataError(
                f"{path}:{number}: query id {query_id} stands on line {seen[query_id]} already; ids must be unique"
            )
        yield GenericQuery(query_id, text.strip())


def folder_dataset(files: FolderFiles) -> Dataset:
    """The ir-datasets object of a plain folder: what its files provide, and nothing else."""
    return Dataset(
        FolderDocs(files),
        FolderQueries(files) if files.queries else None,
        FolderQrels(files.qrels) if files.qrels else None,
    )
