"""Measuring a run against judgements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from ltr.errors import ConfigError, DataError
from ltr.io.ids import shown
from ltr.io.names import suggestion
from ltr.io.runs import Run
from ltr.io.trec import LARGEST_GRADE, Qrels
from ltr.metrics.measures import by_ranx, vectorised
from ltr.metrics.measures.lists import JudgedLists
from ltr.metrics.measures.measure import Measure, of_rankings

#: what can compute the values: NumPy on flat arrays, or ranx, the reference
Engine = Literal["numpy", "ranx"]
#: largest grade of measures whose gain is 2^grade - 1: at 1024 that is infinite
LARGEST_POWER = 1000


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


def evaluate(
    run: Run, qrels: Qrels, measures: str | Measure | Iterable[str | Measure], engine: Engine = "numpy"
) -> Evaluation:
    """Measure a run against judgements, with trec_eval's conventions.

    Every judged query counts: one that the run lacks, or that has no relevant document, counts 0. Documents with
    negative grades (TREC's mark for spam and unassessable pages) count as not judged.

    Args:
        run: the ranking of each query.
        qrels: query id -> document id -> grade (whole numbers).
        measures: such as ``["ndcg@10", "mrr@10"]``.
        engine: what computes them. ``"ranx"`` gives the same values to twelve digits by other code, to check them; its
            first use in an installation compiles for two to ten seconds a measure.

    Raises:
        ConfigError: for an unknown measure or engine.
        DataError: without judgements, when run and judgements share no query, or for a grade that is too large for a
            measure.

    >>> run = Run.from_dict({"q": {"a": 2.0, "b": 1.0}})
    >>> evaluate(run, {"q": {"b": 1}}, "mrr").means
    {'mrr': 0.5}
    """
    chosen = of_rankings(measures)
    if engine not in get_args(Engine):
        raise ConfigError(f"evaluate: no engine {engine!r}; {suggestion(engine, get_args(Engine))}")
    if not qrels:
        raise DataError("evaluate: there are no judgements; give at least one judged query")
    query_ids = list(qrels)
    unjudged = [q for q in run if q not in qrels]
    if len(unjudged) == len(run):
        raise DataError(
            f"evaluate: run {run.name} and the judgements share no query; the run has {len(run)} "
            f"({', '.join(run.query_ids[:3])} ...), the judgements {len(qrels)} ({', '.join(query_ids[:3])} ...)"
        )
    _check_grades(qrels, chosen)
    lists = JudgedLists.of(run, qrels)
    measured = vectorised.measured if engine == "numpy" else by_ranx.measured
    values = {str(m): measured(lists, m) for m in chosen}
    return Evaluation(
        run.name,
        query_ids,
        values,
        missing=[q for q in query_ids if q not in run],
        unjudged=unjudged,
        without_relevant=[q for q, n in zip(query_ids, lists.relevant(1), strict=True) if n == 0],
    )


def _check_grades(qrels: Qrels, chosen: list[Measure]) -> None:
    """Refuse grades that a measure would make infinite or round."""
    powers = [str(measure) for measure in chosen if measure.kind.gain == "2^grade - 1"]
    largest = LARGEST_POWER if powers else LARGEST_GRADE
    for query_id, docs in qrels.items():
        if max(docs.values(), default=0) > largest or min(docs.values(), default=0) < -LARGEST_GRADE:
            doc_id, grade = next((d, g) for d, g in docs.items() if not -LARGEST_GRADE <= g <= largest)
            whose = f"{powers[0]} has the gain 2^grade - 1" if powers else "it is computed with as float64"
            raise DataError(
                f"evaluate: query {query_id}, document {doc_id}: a grade can be {largest} at most, as {whose}; got "
                f"{shown(str(grade))}"
            )
