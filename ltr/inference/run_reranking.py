"""Reranking a whole run into a file, in blocks that survive an interruption."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ltr.data.collections.collection import Collection
from ltr.inference.documents import Ranked, check_query
from ltr.inference.partial import Partial, claimed
from ltr.inference.reranker import Reranker
from ltr.io.caching.digests import digest
from ltr.io.ids import check_ids
from ltr.io.runs import Run
from ltr.io.streams import is_stream
from ltr.io.trec import plain_or_compressed

log = logging.getLogger(__name__)

#: blocks of query ids -> for each block, in order, what stands in the run for each query
Ranking = Callable[[Sequence[Sequence[str]]], Iterator[list[list[Ranked]]]]


def rerank_run(
    reranker: Reranker,
    collection: Collection,
    first: Run,
    output: str | os.PathLike,
    top_k: int | None = None,
    interpolate: bool | float = False,
    progress: bool = False,
    block_docs: int = 512,
    probability: bool = False,
    ranking: Ranking | None = None,
) -> int:
    """Rerank all documents of a run into a TREC file; called again after an interruption, it goes on.

    Args:
        reranker: the model.
        collection: where the texts of queries and documents are.
        first: the run to rerank.
        output: the file to write.
        top_k: documents per query to write; None for all.
        interpolate: see ``Reranker.rank``.
        progress: show a progress bar.
        probability: see ``Reranker.rank``.
        block_docs: at least so many documents are scored together and then written; part of the result's last digits.
        ranking: what ranks blocks, in their order; None for ``reranker`` itself, in this process.

    Returns:
        The number of lines of the file.

    Raises:
        DataError: a query without text; an id that TREC files cannot hold; an unfinished file beside ``output`` that was
            begun with other inputs, or that another process is writing.
    """
    check_ids(first)
    for query_id in first:
        check_query(collection.queries[query_id], query_id)
    signature = {
        "model": model_signature(reranker.source),
        "run": run_signature(first),
        "dataset": collection.signature,
        "options": f"{top_k} {interpolate} {reranker.settings} {reranker.precision} {block_docs}"
        + (" probability" if probability else ""),
    }
    # nine tell any two float32 scores apart; probabilities near 1 differ by the last digits of float64
    digits = 17 if probability else 9
    lines = {q: min(len(first[q][0]), top_k or len(first[q][0])) for q in first}
    if ranking is None:
        ranking = InProcess(reranker, collection, first, top_k, interpolate, probability)
    if is_stream(output):  # nothing can stand beside it: lines go out as they are ready
        blocks = blocks_of(first, block_docs)
        with plain_or_compressed(output) as file:
            for block, ranked in zip(_shown(blocks, blocks, first, progress), ranking(blocks), strict=True):
                file.writelines(_lines(block, ranked, tag_of(output), digits))
                file.flush()
        return sum(lines.values())
    with claimed(output, "rerank"):
        partial = PartialRun(output, signature, lines, digits)
        blocks = blocks_of(first, block_docs)
        rest = partial.remaining(blocks)
        if len(rest) < len(blocks):
            done = sum(len(first[q][0]) for block in blocks[: len(blocks) - len(rest)] for q in block)
            log.info("going on with %s: %d of %d documents are done", partial.path, done, len(first.scores))
        for block, ranked in zip(_shown(rest, blocks, first, progress), ranking(rest), strict=True):
            partial.append(block, ranked)
        partial.finish()
    return sum(lines.values())


def _shown(
    blocks: Sequence[Sequence[str]], every: Sequence[Sequence[str]], first: Run, progress: bool
) -> Iterator[Sequence[str]]:
    """The blocks that are to be done, with a bar over all documents."""
    from tqdm import tqdm

    whole, rest = (sum(len(first[q][0]) for block in some for q in block) for some in (every, blocks))
    with tqdm(desc="reranking", total=whole, initial=whole - rest, unit=" docs", disable=not progress) as bar:
        for block in blocks:
            yield block
            bar.update(sum(len(first[q][0]) for q in block))


def tag_of(output: str | os.PathLike) -> str:
    """The last field of a run's lines: its name."""
    return "_".join(Path(output).name.removesuffix(".gz").removesuffix(".trec").split()) or "run"


def _lines(block: Sequence[str], ranked: Sequence[Sequence[Ranked]], tag: str, digits: int) -> Iterator[str]:
    for query_id, documents in zip(block, ranked, strict=True):
        for one in documents:
            yield f"{query_id} Q0 {one.id} {one.rank} {one.score:.{digits}g} {tag}\n"


@dataclass(frozen=True)
class InProcess:
    """Ranks blocks one after the other by a reranker here.

    Attributes:
        reranker, collection, first, top_k, interpolate, probability: see ``rerank_run``.
    """

    reranker: Reranker
    collection: Collection
    first: Run
    top_k: int | None = None
    interpolate: bool | float = False
    probability: bool = False

    def __call__(self, blocks: Sequence[Sequence[str]]) -> Iterator[list[list[Ranked]]]:
        for block in blocks:
            ids, scores = zip(
                *((docs.tolist(), own.tolist()) for docs, own in map(self.first.__getitem__, block)), strict=True
            )
            yield self.rank(block, list(ids), list(scores))

    def rank(self, block: Sequence[str], ids: Sequence[list[str]], scores: Sequence[list[float]]) -> list[list[Ranked]]:
        """The documents of some queries, ranked.

        Args:
            block: ids of the queries.
            ids: of their documents.
            scores: of the first stage.
        """
        # as in training, where a collection's texts are read so
        texts = iter(self.collection.texts([doc_id for own in ids for doc_id in own]))
        docs = [[next(texts) for _ in own] for own in ids]
        queries = [self.collection.queries[q] for q in block]
        return self.reranker.rank_many(
            queries, docs, ids, self.top_k, scores, self.interpolate, query_ids=block, probability=self.probability
        )


def blocks_of(run: Run, docs: int = 512) -> list[list[str]]:
    """Query ids in the run's order, cut into blocks of at least ``docs`` documents.

    Blocks depend on the run alone. A block is computed whole or not at all, so that a resumed file equals an
    uninterrupted one to the last digit, on as many threads.

    >>> blocks_of(Run.from_dict({"a": {"x": 1.0, "y": 0.0}, "b": {"x": 1.0}, "c": {"z": 1.0}}), docs=2)
    [['a'], ['b', 'c']]
    """
    blocks: list[list[str]] = []
    room = 0
    for query_id in run:
        if room <= 0:
            blocks.append([])
            room = docs
        blocks[-1].append(query_id)
        room -= len(run[query_id][0])
    return blocks


class PartialRun(Partial):
    """A run in the making: what stands in it already is what the lines of its file say.

    Args:
        output, signature: see ``Partial``.
        lines: query id -> how many lines it will have.
        digits: of the scores.

    Raises:
        DataError: as ``Partial``.
    """

    def __init__(
        self, output: str | os.PathLike, signature: Mapping[str, str], lines: Mapping[str, int], digits: int = 9
    ):
        super().__init__(output, signature, "rerank")
        self.lines, self.tag, self.digits = lines, tag_of(output), digits

    def remaining(self, blocks: Sequence[Sequence[str]]) -> list[Sequence[str]]:
        """The blocks that are not in the file yet; what an interruption left of a block is cut off."""
        done, end = 0, 0
        with open(self.path, "rb") as file:
            for block in blocks:
                size = self._block_size(file, block)
                if size is None:
                    break
                done, end = done + 1, end + size
        os.truncate(self.path, end)
        return list(blocks[done:])

    def append(self, block: Sequence[str], ranked: Sequence[Sequence[Ranked]]) -> None:
        """Add the finished queries of a block, and see to it that they reach the disk."""
        self.write(_lines(block, ranked, self.tag, self.digits))

    def _block_size(self, file: IO[bytes], block: Sequence[str]) -> int | None:
        """Bytes of a block that stands at the file's position, or None where it is not whole."""
        size = 0
        for query_id in block:
            for rank in range(1, self.lines[query_id] + 1):
                line = file.readline()
                fields = line.decode("utf-8", "replace").split()
                if not line.endswith(b"\n") or fields[:1] != [query_id] or fields[3:4] != [str(rank)]:
                    return None
                size += len(line)
        return size


def model_signature(folder: str | os.PathLike) -> str:
    """16 hexadecimal digits of what a model folder holds, its modules' folders too; a hub id stands for itself."""
    if not Path(folder).is_dir():
        return os.fspath(folder)
    whole = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):  # modules of sentence-transformers lie in folders of their own
        if path.suffix in (".json", ".safetensors", ".bin", ".txt", ".model", ".jinja", ".tiktoken") and path.is_file():
            whole.update(f"{path.relative_to(folder).as_posix()} {digest(path, size=16)}\n".encode())
    return whole.hexdigest()[:16]


def run_signature(run: Run) -> str:
    """16 hexadecimal digits of a run's queries, documents and scores."""
    whole = hashlib.sha256()
    for part in _parts(run):
        whole.update(part)
    return whole.hexdigest()[:16]


def _parts(run: Run) -> Iterator[bytes]:
    for query_id in run:
        docs, scores = run[query_id]
        yield "\0".join([query_id, *docs.tolist()]).encode()
        yield scores.tobytes()
