"""Measuring a run against judgements, by ranx's kernels (this is the only file that imports ranx)."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ltr.errors import DataError
from ltr.io.compiled import keep_compiled
from ltr.io.runs import Run
from ltr.io.trec import Qrels
from ltr.metrics.lists import JudgedLists
from ltr.metrics.measure import Measure, of_rankings

logger = logging.getLogger(__name__)

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
        gains: dict[str, list[str]] = {}
        for measure in kinds:
            if measure.kind.gain != "binary":
                gains.setdefault(measure.kind.gain, []).append(str(measure))
        levels = {measure.level for measure in kinds}
        level = f">= {levels.pop()}" if len(levels) == 1 else ">= 1, or what -l says"
        parts = [
            f"{len(self.query_ids)} queries",
            f"missing from the run (count 0): {len(self.missing)}",
            f"without relevant documents (count 0): {len(self.without_relevant)}",
            f"without judgements (left out): {len(self.unjudged)}",
            f"relevant: grade {level}",
            *(f"gain: {gain} ({', '.join(names)})" for gain, names in gains.items()),
            "ties: by document id, descending (trec_eval)",
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
    chosen = of_rankings(measures)
    if not qrels:
        raise DataError("evaluate: there are no judgements; give at least one judged query")
    query_ids = list(qrels)
    unjudged = [q for q in run if q not in qrels]
    if len(unjudged) == len(run):
        raise DataError(
            f"evaluate: run {run.name} and the judgements share no query; the run has {len(run)} "
            f"({', '.join(run.query_ids[:3])} ...), the judgements {len(qrels)} ({', '.join(query_ids[:3])} ...)"
        )
    lists = JudgedLists.of(run, qrels)
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
    chosen = of_rankings(measures)
    lists = JudgedLists.of(Run.from_dict({"q": {"a": 1.0}}), {"q": {"a": 1, "b": 0}})

    def work() -> None:
        with _turn:
            for measure in chosen:
                _measured(measure, lists)

    if background:
        threading.Thread(target=work, name="ltr-measures", daemon=True).start()
    else:
        work()


def _measured(measure: Measure, lists: JudgedLists) -> np.ndarray:
    """[queries] values of one measure; 0 without relevant documents."""
    values = np.zeros(len(lists.retrieved))
    has = np.flatnonzero(lists.relevant(measure.level))
    for queries, depth in _blocks(measure, lists, has):
        judged, run = lists.arrays(queries, depth)
        asked = measure
        if measure.name == "rbp":  # ranx multiplies by the grade; rank-biased precision is defined on 0 and 1
            judged[..., 1] = np.where(judged[..., 1] >= measure.level, 1.0, 0.0)
            asked = replace(measure, level=1)
        found = _kernel(asked, judged, run)
        if measure.name == "bpref":
            found = np.where(np.isnan(found), _kernel(Measure("recall", level=measure.level), judged, run), found)
        values[queries] = found
    return values


def _blocks(measure: Measure, lists: JudgedLists, queries: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
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
        logger.warning("compiling the measures (once per installation, about two seconds each) ...")


def _ranx() -> Any:
    """ranx, with its compiled kernels kept in the user's cache."""
    if "ranx" not in sys.modules:
        keep_compiled()
    import ranx

    return ranx
