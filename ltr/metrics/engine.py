"""Measuring a run against judgements."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from ltr.errors import ConfigError, DataError
from ltr.io.names import suggestion
from ltr.io.runs import Run
from ltr.metrics.inputs import as_qrels, as_run, differing, strangers
from ltr.metrics.measures import by_ranx, vectorised
from ltr.metrics.measures.judged_ranks import JudgedRanks
from ltr.metrics.measures.measure import Measure, of_rankings

logger = logging.getLogger(__name__)

#: what can compute the values: NumPy on flat arrays, or ranx, the reference
Engine = Literal["numpy", "ranx"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Per-query values of measures, over all judged queries.

    Attributes:
        run: the run's name.
        query_ids: the judged queries, in the order of the judgements.
        values: measure text -> [queries] float64.
        missing: judged queries that the run does not hold; they count 0.
        unjudged: queries of the run without judgements; they are left out.
        without_relevant: for each relevance level of the measures the judged queries without a document of at least that
            grade; they count 0, as in trec_eval.
        doubts: sentences about ids of run and judgements that hardly meet, or that differ in form only.
    """

    run: str
    query_ids: list[str]
    values: dict[str, np.ndarray]
    missing: list[str] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)
    without_relevant: dict[int, list[str]] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)

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
        levels = sorted({measure.level for measure in kinds})
        of_level = {n: [str(measure) for measure in kinds if measure.level == n] for n in levels}
        level = ", ".join(f">= {n}" + f" ({', '.join(names)})" * (len(levels) > 1) for n, names in of_level.items())
        without = {n: len(self.without_relevant.get(n, [])) for n in levels}
        counts = [f"{count} (grade >= {n})" if len(levels) > 1 else f"{count}" for n, count in without.items()]
        parts = [
            f"{len(self.query_ids)} queries",
            f"missing from the run (count 0): {len(self.missing)}",
            f"without relevant documents (count 0): {', '.join(counts)}",
            f"without judgements (left out): {len(self.unjudged)}",
            f"relevant: grade {level}",
            *(f"gain: {gain} ({', '.join(names)})" for gain, names in gains.items()),
            "ties: by document id, descending (trec_eval)",
            *(f"beware: {doubt}" for doubt in self.doubts),
        ]
        return "; ".join(parts)


def evaluate(
    run: Run | Mapping[Any, Mapping[Any, float]],
    qrels: Mapping[Any, Mapping[Any, int]],
    measures: str | Measure | Iterable[str | Measure],
    engine: Engine = "numpy",
) -> Evaluation:
    """Measure a run against judgements, with trec_eval's conventions.

    Every judged query counts: one that the run lacks, or that has no relevant document, counts 0. Documents with
    negative grades (TREC's mark for spam and unassessable pages) count as not judged. Where run and judgements share
    hardly any id, or ids differ in form only (D1 and d1), a warning is logged and stands in the conventions.

    Args:
        run: the ranking of each query, or query id -> document id -> score.
        qrels: query id -> document id -> grade (whole numbers). Ids that are whole numbers are taken as text.
        measures: such as ``["ndcg@10", "mrr@10"]``.
        engine: what computes them. ``"ranx"`` gives the same values to twelve digits by other code, to check them; its
            first use in an installation compiles for two to ten seconds a measure.

    Raises:
        ConfigError: for an unknown measure or engine.
        DataError: without judgements, when run and judgements share no query, or for a grade that is no whole number or
            too large for a measure.

    >>> run = Run.from_dict({"q": {"a": 2.0, "b": 1.0}})
    >>> evaluate(run, {"q": {"b": 1}}, "mrr").means
    {'mrr': 0.5}
    """
    chosen = of_rankings(measures)
    if engine not in get_args(Engine):
        raise ConfigError(f"evaluate: no engine {engine!r}; {suggestion(engine, get_args(Engine))}")
    run, judged = as_run(run), as_qrels(qrels, chosen)
    query_ids = list(judged)
    unjudged = [q for q in run if q not in judged]
    if len(unjudged) == len(run):
        pair = differing(run, judged)
        raise DataError(
            f"evaluate: run {run.name} and the judgements share no query; the run has {len(run)} "
            f"({', '.join(run.query_ids[:3])} ...), the judgements {len(judged)} ({', '.join(query_ids[:3])} ...)"
            + (f"; {pair}" if pair else "")
        )
    lists = JudgedRanks.of(run, judged)
    measured = vectorised.measured if engine == "numpy" else by_ranx.measured
    values = {str(m): measured(lists, m) for m in chosen}
    missing = [q for q in query_ids if q not in run]
    doubts = strangers(run, judged, lists, missing, unjudged)
    for doubt in doubts:
        logger.warning("%s", doubt)
    without = {
        level: [q for q, n in zip(query_ids, lists.relevant(level), strict=True) if n == 0]
        for level in sorted({m.level for m in chosen})
    }
    return Evaluation(run.name, query_ids, values, missing, unjudged, without, doubts)
