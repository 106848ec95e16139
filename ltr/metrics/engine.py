"""Measuring a run against judgements, by ranx's kernels (this is the only file that imports ranx)."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ltr.errors import DataError
from ltr.io.files import cache_folder
from ltr.io.runs import Run, as_bytes, keys
from ltr.io.trec import Qrels
from ltr.metrics.measure import Measure
from ltr.metrics.measure import measures as parsed

#: our measure -> ranx's function
KERNELS = {
    "mrr": "reciprocal_rank",
    "map": "average_precision",
    "r-precision": "r_precision",
    "rbp": "rank_biased_precision",
}
#: array cells (queries x ranks) that one call of a kernel gets
CELLS = 4_000_000
#: seconds after which a first call tells that it is compiling; loading from the cache takes a tenth of that
PATIENCE = 1.5

# numba's threads serve one caller at a time: a second one ends the process
_turn = threading.Lock()
_ready: set[str] = set()


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Per-query values of measures, over all judged queries.

    Attributes:
        run: the run's name.
        query_ids: the judged queries, in the order of the judgements.
        values: measure text -> [queries] float64.
        missing: judged queries that the run does not hold; they count 0.
        unjudged: queries of the run without judgements; they are left out.
        without_relevant: judged queries without a document of grade 1 or more; they count 0, as in trec_eval.
    """

    run: str
    query_ids: list[str]
    values: dict[str, np.ndarray]
    missing: list[str] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)
    without_relevant: list[str] = field(default_factory=list)

    @property
    def means(self) -> dict[str, float]:
        """Measure text -> mean over all judged queries."""
        return {name: float(values.mean()) for name, values in self.values.items()}

    def __getitem__(self, measure: str | Measure) -> float:
        """The mean of one measure."""
        return self.means[str(Measure.parse(measure))]

    @property
    def conventions(self) -> str:
        """One line that makes two tables comparable: queries, gain, relevance level, ties, missing queries."""
        kinds = [Measure.parse(name) for name in self.values]
        gains = {str(m): m.kind.gain for m in kinds if m.kind.gain != "binary"}
        levels = {str(m): m.level for m in kinds}
        same = set(levels.values())
        parts = [
            f"{len(self.query_ids)} queries",
            *(f"gain of {name}: {gain}" for name, gain in gains.items()),
            f"relevant: grade >= {same.pop()}" if len(same) == 1 else "relevant: grade >= level (-l, default 1)",
            "ties: document id descending, as trec_eval",
            f"{len(self.missing)} judged queries missing from the run count 0",
            f"{len(self.without_relevant)} without relevant documents count 0",
            f"{len(self.unjudged)} without judgements left out",
        ]
        return "; ".join(parts)


def evaluate(run: Run, qrels: Qrels, measures: str | Measure | Iterable[str | Measure]) -> Evaluation:
    """Measure a run against judgements, with trec_eval's conventions.

    Every judged query counts: one that the run lacks, or that has no relevant document, counts 0. Documents with
    negative grades (TREC's mark for spam and unassessable pages) count as not judged.

    Args:
        run: the ranking of each query.
        qrels: query id -> document id -> grade (whole numbers).
        measures: such as ``["ndcg@10", "mrr@10"]``.

    Raises:
        ConfigError: for an unknown measure.
        DataError: without judgements, or when run and judgements share no query.

    >>> run = Run.from_dict({"q": {"a": 2.0, "b": 1.0}})
    >>> evaluate(run, {"q": {"b": 1}}, "mrr").means
    {'mrr': 0.5}
    """
    chosen = parsed(measures)
    if not qrels:
        raise DataError("evaluate: there are no judgements; give at least one judged query")
    query_ids = list(qrels)
    unjudged = [q for q in run if q not in qrels]
    if len(unjudged) == len(run):
        raise DataError(
            f"evaluate: run {run.name} and the judgements share no query; the run has {len(run)} "
            f"({', '.join(run.query_ids[:3])} ...), the judgements {len(qrels)} ({', '.join(query_ids[:3])} ...)"
        )
    lists = _Lists.of(run, qrels)
    with _turn:
        values = {str(m): _measured(m, lists) for m in chosen}
    return Evaluation(
        run.name,
        query_ids,
        values,
        missing=[q for q in query_ids if q not in run],
        unjudged=unjudged,
        without_relevant=[q for q, n in zip(query_ids, lists.relevant(1), strict=True) if n == 0],
    )


def warm_up(measures: str | Measure | Iterable[str | Measure], background: bool = True) -> None:
    """Load (on the first use in an installation: compile) the kernels of measures before they are needed.

    Args:
        measures: those that will be asked for.
        background: return at once and do it in a thread; ``evaluate`` waits for it where it must.
    """
    chosen = parsed(measures)
    lists = _Lists.of(Run.from_dict({"q": {"a": 1.0}}), {"q": {"a": 1, "b": 0}})

    def work() -> None:
        with _turn:
            for measure in chosen:
                _measured(measure, lists)

    if background:
        threading.Thread(target=work, name="ltr-measures", daemon=True).start()
    else:
        work()


@dataclass(frozen=True, eq=False)
class _Lists:
    """Judged documents of all queries, flat: all that a measure looks at.

    A document's number is its place within its query; ranks are -1 where the run does not hold it.
    """

    offsets: np.ndarray  # [queries + 1]
    grades: np.ndarray  # [judged], falling within a query
    ranks: np.ndarray  # [judged], from 0
    retrieved: np.ndarray  # [queries] length of the run's list

    @classmethod
    def of(cls, run: Run, qrels: Qrels) -> _Lists:
        query = np.repeat(np.arange(len(qrels)), [len(docs) for docs in qrels.values()])
        grades = np.array([grade for docs in qrels.values() for grade in docs.values()], np.float64)
        docs = as_bytes([doc_id for docs in qrels.values() for doc_id in docs])
        order = np.lexsort((-grades, query))
        order = order[grades[order] >= 0]
        query, grades, docs = query[order], grades[order], docs[order]
        sizes = np.diff(run.offsets)
        number = {q: i for i, q in enumerate(qrels)}
        listed = np.array([number.get(q, -1) for q in run], np.int64)
        retrieved = np.zeros(len(qrels), np.int64)
        retrieved[listed[listed >= 0]] = sizes[listed >= 0]
        offsets = np.searchsorted(query, np.arange(len(qrels) + 1))
        return cls(offsets, grades, _ranks(run, listed, query, docs), retrieved)

    def relevant(self, level: int) -> np.ndarray:
        """[queries] number of documents of at least that grade."""
        return np.add.reduceat(np.append(self.grades >= level, False), self.offsets[:-1]) * (np.diff(self.offsets) > 0)

    def arrays(self, queries: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
        """ranx's form, [queries, judged | depth, 2] with (document number, grade): judgements and run.

        Rows are filled up with numbers that match nothing and grades that are neither above nor below any level.
        """
        sizes = np.diff(self.offsets)[queries]
        row = np.repeat(np.arange(len(queries)), sizes)
        column = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        at = np.repeat(self.offsets[queries], sizes) + column
        judged = np.empty((len(queries), int(sizes.max()), 2))
        judged[:] = -2, np.nan
        judged[row, column, 0], judged[row, column, 1] = column, self.grades[at]
        run = np.full((len(queries), depth, 2), -1.0)
        held = (self.ranks[at] >= 0) & (self.ranks[at] < depth)
        run[row[held], self.ranks[at][held], 0] = column[held]
        return judged, run


def _ranks(run: Run, listed: np.ndarray, query: np.ndarray, docs: np.ndarray) -> np.ndarray:
    """[judged] rank of each judged document in its query's list, -1 where it is not in it."""
    ranks = np.full(len(docs), -1, np.int64)
    starts = run.offsets[:-1]
    for seed in range(8):
        key = keys(docs, query, seed)
        order = np.argsort(key)
        key = key[order]
        if (key[1:] == key[:-1]).any():
            continue
        for at, found in _matches(run, listed, key, seed):
            i = np.searchsorted(run.offsets, at, "right") - 1
            j = order[found]
            same = (run.doc_bytes[at] == docs[j]) & (listed[i] == query[j])
            ranks[j[same]] = (at - starts[i])[same]
        return ranks
    raise DataError("evaluate: document ids collide under every hash; judgements list a document twice")


def _matches(run: Run, listed: np.ndarray, key: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of (entries of the run, places in ``key``) whose keys are equal; ``key`` is sorted."""
    mask = np.uint64((1 << 22) - 1)
    known = np.zeros(int(mask) + 1, bool)
    known[key & mask] = True
    sizes = np.diff(run.offsets)
    step = 1_000_000
    query = np.repeat(listed, sizes)
    for start in range(0, len(query), step):
        block = keys(run.doc_bytes[start : start + step], query[start : start + step], seed)
        at = np.flatnonzero(known[block & mask])
        found = np.minimum(np.searchsorted(key, block[at]), len(key) - 1)
        same = key[found] == block[at]
        yield start + at[same], found[same]


def _measured(measure: Measure, lists: _Lists) -> np.ndarray:
    """[queries] values of one measure; 0 without relevant documents."""
    values = np.zeros(len(lists.retrieved))
    has = np.flatnonzero(lists.relevant(measure.level))
    for queries, depth in _blocks(measure, lists, has):
        judged, run = lists.arrays(queries, depth)
        if measure.name == "rbp":  # ranx multiplies by the grade; rank-biased precision is defined on 0 and 1
            judged[..., 1] = np.where(judged[..., 1] >= measure.level, 1.0, 0.0)
        found = _kernel(measure, judged, run)
        if measure.name == "bpref":
            found = np.where(np.isnan(found), _kernel(Measure("recall", level=measure.level), judged, run), found)
        values[queries] = found
    return values


def _blocks(measure: Measure, lists: _Lists, queries: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Queries of similar length with their depth, so that filling rows up costs little."""
    depths = np.maximum(lists.retrieved[queries], 1)
    if measure.cutoff:
        depths = np.minimum(depths, measure.cutoff)
    # precision over a whole list divides by its length: no filling there
    exact = measure.name in ("precision", "f1") and not measure.cutoff
    order = np.argsort(depths, kind="stable")
    queries, depths = queries[order], depths[order]
    judged = np.diff(lists.offsets)[queries]
    start = 0
    while start < len(queries):
        least = depths[start]
        end = int(np.searchsorted(depths, least if exact else 2 * least, "right"))
        widest = np.maximum(depths[start:end], np.maximum.accumulate(judged[start:end]))
        fits = int(np.searchsorted(widest * np.arange(1, end - start + 1), CELLS, "right"))
        end = start + max(1, fits)
        yield queries[start:end], int(depths[end - 1])
        start = end


def _kernel(measure: Measure, judged: np.ndarray, run: np.ndarray) -> np.ndarray:
    function = getattr(_ranx().metrics, KERNELS.get(measure.name, measure.name))
    setting: Any = measure.persistence if measure.name == "rbp" else measure.cutoff
    if measure.name in _ready:
        return function(judged, run, setting, measure.level)
    timer = threading.Timer(PATIENCE, _tell)
    timer.daemon = True
    timer.start()
    try:
        return function(judged, run, setting, measure.level)
    finally:
        timer.cancel()
        _ready.add(measure.name)


def _tell() -> None:
    if "told" not in _ready:
        _ready.add("told")
        print("ltr: compiling the measures (once per installation, about two seconds each) ...", file=sys.stderr)


def _ranx() -> Any:
    """ranx, with its compiled kernels kept in the user's cache."""
    if "ranx" not in sys.modules:
        os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder("numba")))
        import numba

        numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]  # in case numba was imported before
    import ranx

    return ranx
