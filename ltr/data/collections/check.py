"""Looking a collection over before any training: counts, gaps, lengths, and what train and test share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ltr.data.candidates.bm25_tokenizer import unspaced
from ltr.data.candidates.selves import selves
from ltr.data.collections.collection import Collection
from ltr.data.collections.folder import FolderQrels
from ltr.data.readable import BROKEN
from ltr.data.wording import same_text
from ltr.io.trec import opened, read_run


@dataclass
class Report:
    """What a check found.

    Attributes:
        lines: (what, what was found), in the order to be read.
        problems: sentences on what would stop training or make a figure untrue.
    """

    lines: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, what: str, value: str) -> None:
        """One line of the report."""
        self.lines.append((what, value))

    def __str__(self) -> str:
        width = max((len(what) for what, _ in self.lines), default=0)
        text = [f"{what:<{width}}  {value}".rstrip() for what, value in self.lines]
        return "\n".join([*text, "", *([f"! {p}" for p in self.problems] or ["nothing stands in the way"])])


def check(
    collection: Collection,
    train: Collection | None = None,
    count_tokens: Callable[[Sequence[str]], list[int]] | None = None,
    max_query_length: int = 64,
    progress: bool = False,
) -> Report:
    """Look a collection over.

    Args:
        collection: what to look over.
        train: another one, to report what they share that they should not.
        count_tokens: texts -> tokens of each, for lengths in tokens beside words.
        max_query_length: tokens of a query that are read; longer queries are counted.
        progress: whether to show a bar over the documents.
    """
    report = Report()
    report.add("collection", f"{collection.name} (documents {collection.docs_signature}, all {collection.signature})")
    _documents(report, collection, count_tokens, progress)
    if not collection.dataset.has_queries():
        report.problems.append(f"{collection.name} has no queries")
        return report
    _queries(report, collection, count_tokens, max_query_length)
    if collection.has_qrels:
        _judgements(report, collection)
    else:
        report.add("judgements", "none")
    for name, path in collection.runs.items():
        _run(report, collection, name, path)
    if train is not None:
        _overlap(report, collection, train)
    return report


def _documents(report: Report, collection: Collection, count_tokens: Any, progress: bool) -> None:
    words: list[int] = []
    tokens: list[int] = []
    empty: list[str] = []
    joined: list[str] = []
    broken: list[str] = []
    total = collection.n_docs if progress else None
    bar = tqdm(collection.docs(), "documents", total, unit="doc", disable=not progress, mininterval=0.5)
    for batch in _batches(bar, 1000):
        words += [len(text.split()) for _, text in batch]
        empty += [doc_id for doc_id, text in batch if not text.strip()]
        joined += [doc_id for doc_id, text in batch if unspaced(text)]
        broken += [doc_id for doc_id, text in batch if BROKEN in text]
        if count_tokens:
            tokens += count_tokens([text for _, text in batch])
    report.add("documents", f"{len(words):,}")
    _lengths(report, words, tokens)
    _named(report, "  without text", empty)
    if broken:
        report.add(
            "  broken", f"{len(broken):,} ({_first(broken)}) hold U+FFFD, which stands for a character that was lost"
        )
    if joined:
        report.add(
            "  without spaces",
            f"{len(joined):,} ({_first(joined)}): BM25 takes pairs of their characters, and their words are not counted above",
        )


def _queries(report: Report, collection: Collection, count_tokens: Any, longest: int) -> None:
    texts = list(collection.queries.values())
    report.add("queries", f"{len(texts):,}")
    words, tokens = [len(text.split()) for text in texts], count_tokens(texts) if count_tokens else []
    _lengths(report, words, tokens)
    _cut(
        report,
        [q for q, n in zip(collection.queries, tokens or words, strict=True) if n > longest],
        longest,
        bool(tokens),
    )
    empty = [q for q, text in collection.queries.items() if not text.strip()]
    _named(report, "  without text", empty)
    if empty:
        report.problems.append(f"{len(empty):,} queries without text, which ltr refuses to rank for: {_first(empty)}")
    times = Counter(map(same_text, texts))
    again = sum(n - 1 for n in times.values())
    if again:
        report.add("  asked again", f"{again:,} repeat the text of another query")
    if own := sorted(selves(collection)):
        report.add(
            "  documents too",
            f"{len(own):,} ({_first(own)}) are documents of the collection: what retrieve, mine and fit find for them leaves "
            "them out, as published figures do",
        )


def _cut(report: Report, ids: list[str], longest: int, exact: bool) -> None:
    """Say which queries would be read in part."""
    if ids:
        least = "" if exact else "at least "
        counted = "" if exact else "; --tokenizer counts exactly"
        report.add(
            "  cut",
            f"{least}{len(ids):,} ({_first(ids)}): their end behind {longest} tokens is not read{counted}; "
            "fit takes --data.max_query_length, rerank --max-query-length",
        )


def _judgements(report: Report, collection: Collection) -> None:
    qrels = collection.qrels
    grades = Counter(grade for docs in qrels.values() for grade in docs.values())
    report.add("judgements", f"{sum(grades.values()):,} of {len(qrels):,} queries")
    report.add("  grades", ", ".join(f"{grade}: {n:,}" for grade, n in sorted(grades.items())))
    positives = [sum(grade > 0 for grade in qrels[q].values()) for q in qrels if q in collection.queries]
    if positives:
        report.add("  relevant per query", f"mean {np.mean(positives):.1f}, at most {max(positives)}")
    none = [q for q in collection.queries if not any(grade > 0 for grade in qrels.get(q, {}).values())]
    _named(report, "  queries without a relevant document", none)
    handler = collection.dataset.qrels_handler()
    path = handler.qrels_path() if isinstance(handler, FolderQrels) else None
    _gap(report, "judged queries without text", [q for q in qrels if q not in collection.queries], path, 0)
    missing = collection.missing(doc_id for docs in qrels.values() for doc_id in docs)
    _gap(report, "judged documents that the collection does not have", missing, path, 2)
    if any(grade < 0 for grade in grades):
        report.add("  negative grades", f"{sum(n for g, n in grades.items() if g < 0):,}, taken as not judged")
    if len(none) == len(collection.queries):
        report.problems.append("no query has a relevant document: there is nothing to learn or to measure")


def _run(report: Report, collection: Collection, name: str, path: Path) -> None:
    run = read_run(path)
    shared = [q for q in collection.queries if q in run]
    each = f", {len(run.scores) / max(len(run), 1):.0f} documents each"
    covered = f"{len(shared):,} of {len(collection.queries):,} queries{each}"
    if collection.has_qrels:
        shares = []
        for query_id in shared:
            relevant = {d for d, grade in collection.qrels.get(query_id, {}).items() if grade > 0}
            if relevant:
                shares.append(len(relevant.intersection(run[query_id][0])) / len(relevant))
        covered += f", holds {np.mean(shares):.1%} of the relevant documents" if shares else ""
    report.add(f"run {name}", covered)
    _gap(report, f"documents of run {name} that the collection does not have", collection.missing(run.doc_ids), path, 2)


def _overlap(report: Report, collection: Collection, train: Collection) -> None:
    report.add("shared with", train.name)
    ids = collection.queries.keys() & train.queries.keys()
    texts = {same_text(text) for text in train.queries.values()}
    same = [q for q, text in collection.queries.items() if same_text(text) in texts]
    report.add("  query ids", f"{len(ids):,}")
    _named(report, "  query texts", same)
    if collection.has_qrels and train.has_qrels:
        known = {d for docs in train.qrels.values() for d, grade in docs.items() if grade > 0}
        here = {d for docs in collection.qrels.values() for d, grade in docs.items() if grade > 0}
        share = len(known & here) / max(len(here), 1)
        if collection.docs_signature == train.docs_signature:  # ids of other document sets may agree by chance
            report.add("  relevant documents", f"{len(known & here):,} ({share:.1%})")
    if same:
        report.problems.append(
            f"{len(same):,} queries ({len(same) / len(collection.queries):.1%}) have the text of a query of "
            f"{train.name}: figures on {collection.name} would be too good"
        )


def _lengths(report: Report, words: list[int], tokens: list[int]) -> None:
    for unit, values in {"words": words, "tokens": tokens}.items():
        if values:
            marks = np.percentile(values, [5, 50, 95, 99]).round().astype(int)
            shown = ", ".join(f"{p} % {v:,}" for p, v in zip((5, 50, 95, 99), marks, strict=True))
            report.add(f"  {unit}", f"mean {np.mean(values):,.1f}; up to: {shown}, 100 % {max(values):,}")


def _named(report: Report, what: str, ids: list[str]) -> None:
    report.add(what, f"{len(ids):,}" + (f" ({_first(ids)})" if ids else ""))


def _gap(report: Report, what: str, ids: list[str], path: Path | None, column: int) -> None:
    if not ids:
        return
    where = f"; first at {path}:{_line(path, column, ids[0])}" if path is not None else ""
    report.problems.append(f"{len(ids):,} {what}: {_first(ids)}{where}")


def _line(path: Path, column: int, name: str) -> int:
    with opened(path) as lines:
        return next(number for number, line in enumerate(lines, 1) if line.split()[column : column + 1] == [name])


def _first(ids: list[str]) -> str:
    return ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")


def _batches(items: Iterable, size: int) -> Iterator[list]:
    batch: list = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
