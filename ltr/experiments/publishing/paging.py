"""The report page of a benchmark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ltr.experiments.publishing.results import BenchmarkResults, DataResults, System, baseline_of
from ltr.experiments.spec.building import build
from ltr.expressions import value_of
from ltr.metrics.measures.measure import parse
from ltr.report.page.forests import forests_of
from ltr.report.page.links import link_pictures
from ltr.report.page.page import Curves, Forest, Page, Queries, Section, TradeOff, TradePoint
from ltr.report.page.queries import notable, rankings
from ltr.report.tables.benchmarks import contrasts_over_seeds, systems_table


def page_of(results: BenchmarkResults, signature: str) -> Page:
    """Everything that a benchmark found, as a page.

    Args:
        results: its results, finished or not.
        signature: the line by which two reports can be compared.
    """
    spec = results.spec
    trials = f"{spec.tuning.trials} trials each on dev" if spec.tuning.trials > 1 else "no tuning"
    intro = (
        f"{len(spec.losses) + len(spec.rankers)} losses, {len(spec.scorers)} scorers, {len(spec.data)} data sets, "
        f"{len(spec.seeds)} seeds; {trials} (chosen by dev/{spec.monitor}). Test parts were measured once, with the settings "
        "that dev chose. Intervals in brackets resample queries; what follows ± is the spread over seeds."
    )
    return Page(
        title=f"Benchmark {spec.name}",
        intro=intro,
        signature=signature,
        sections=[_section(results, one) for one in results.data],
        links=link_pictures(_losses(results)),
        configuration=spec.yaml(),
        missing=[*results.notes, *results.missing],
        failures=results.failures,
    )


def _section(results: BenchmarkResults, one: DataResults) -> Section:
    contrasts = [c for c in results.contrasts if c.data == one.name]
    tables = []
    if one.summaries:
        tables.append(systems_table(one.summaries, results.contrasts, results.cost_cells(), header=one.conventions))
    if contrasts:
        tables.append(contrasts_over_seeds(contrasts))
    return Section(
        one.name,
        conventions=one.conventions,
        tables=tables,
        forests=_forests(results, one),
        tradeoffs=_tradeoffs(results, one),
        curves=_curves(results, one),
        queries=_queries(results, one),
    )


def _forests(results: BenchmarkResults, one: DataResults) -> list[Forest]:
    """By the spec's first test, measure by measure in the spec's order."""
    order = {parse(text): i for i, text in enumerate(results.spec.measures)}
    own = sorted((c for c in results.contrasts if c.data == one.name), key=lambda c: order[c.measure])
    return forests_of(own, lambda c: c.adjusted.get(results.spec.tests[0]))


def _tradeoffs(results: BenchmarkResults, one: DataResults) -> list[TradeOff]:
    if not results.spec.tradeoff:
        return []
    inside, outside = (parse(text) for text in results.spec.tradeoff)
    points: list[TradePoint] = []
    lines: dict[str, list[str]] = {}
    for system in one.systems:
        values = [
            next((s for s in one.summaries if (s.system, s.measure) == (system.name, m)), None)
            for m in (outside, inside)
        ]
        if system.group is None or None in values or not all(np.isfinite(v.mean) for v in values if v):
            continue
        x, y = values
        assert x is not None
        assert y is not None
        points.append(TradePoint(system.name, x.mean, y.mean, _spread(x), _spread(y)))
        family = getattr(results.spec.losses.get(system.group.loss_name), "family", None)
        if family:
            scorer = system.group.scorer_name
            name = family if len(results.spec.scorers) == 1 else f"{family} · {scorer}"
            lines.setdefault(name, []).append(system.name)
    if not points:
        return []
    names = [p.system for p in points]
    base = [b.name for s in one.systems if (b := baseline_of(results.spec, one, s)) is not None and b.name in names]
    return [
        TradeOff(
            str(outside), str(inside), points, not outside.larger_is_better, not inside.larger_is_better,
            base[0] if base else "", {k: v for k, v in lines.items() if len(v) > 1},
            bars=f"standard deviation over {len(results.spec.seeds)} seeds",
        )
    ]  # fmt: skip


def _spread(summary: Any) -> tuple[float, float] | None:
    if np.isnan(summary.seed_sd):
        return None
    return summary.mean - summary.seed_sd, summary.mean + summary.seed_sd


def _curves(results: BenchmarkResults, one: DataResults) -> list[Curves]:
    name = f"dev/{results.spec.monitor}"
    systems = {
        s.name: [[(row["step"], row[name]) for row in s.group.seeds[seed].course if name in row] for seed in s.seeds]
        for s in one.systems
        if s.group is not None
    }
    return [Curves(name, systems)] if systems else []


def _queries(results: BenchmarkResults, one: DataResults) -> Queries | None:
    """Values per query (mean over seeds), with texts and rankings of the biggest differences where there are texts."""
    ids, measured = one.per_query()
    if not measured:
        return None
    systems = [s.name for s in one.systems]
    names = list(dict.fromkeys(measure for by in measured.values() for measure in by))
    none = np.full(len(ids), np.nan)
    values = {
        measure: {s: measured[s][measure].mean(axis=0) if measure in measured.get(s, {}) else none for s in systems}
        for measure in names
    }
    smaller = [m for m in names if not parse(m).larger_is_better]
    first = next((s for s in one.systems if s.group is not None), one.systems[0])
    baseline = baseline_of(results.spec, one, first)
    base = baseline.name if baseline is not None else systems[0]
    bare = Queries(ids, values, baseline=base, smaller_is_better=smaller)
    chosen = notable(bare)
    texts, documents = _texts(results, one)
    runs = {s.name: one.truth.ranked(s.scores.mean(0), s.name) for s in one.systems}
    shown = {i: q for i, q in enumerate(chosen) if q in one.truth.query_ids}
    labels = one.truth.qrels or _labels(one)
    return Queries(
        ids, values, {q: texts[q] for q in ids if q in texts},
        rankings(list(shown.values()), runs, labels, documents), base, smaller,
    )  # fmt: skip


def _labels(one: DataResults) -> dict[str, dict[str, float]]:
    truth = one.truth
    labels = {}
    for i, query_id in enumerate(truth.query_ids):
        span = slice(int(truth.offsets[i]), int(truth.offsets[i + 1]))
        labels[query_id] = dict(zip(truth.doc_ids[span], truth.gains[span].tolist(), strict=True))
    return labels


def _texts(results: BenchmarkResults, one: DataResults) -> tuple[dict[str, str], Callable | None]:
    """Query texts, and a function from document ids to texts; nothing for data without texts."""
    from ltr.data import TextData
    from ltr.data.collections.collection import load

    data = build("data", results.spec.data[one.name])
    if not isinstance(data, TextData) or data.test is None:
        return {}, None
    collection = load(data.test)
    return {q: collection.queries[q] for q in one.truth.query_ids if q in collection.queries}, collection.texts


def _losses(results: BenchmarkResults) -> dict[str, Any]:
    """The losses as they were trained, each once, with the data set where tuning gave different ones."""
    made: dict[str, dict[str, list[str]]] = {}
    for one in results.data:
        for system in one.systems:
            if system.group is not None and not system.group.outside:
                text = system.group.seeds[system.seeds[0]].record["loss"]
                made.setdefault(system.group.loss_name, {}).setdefault(text, []).append(_where(results, one, system))
    losses = {}
    for name, texts in made.items():
        for text, places in texts.items():
            losses[name if len(texts) == 1 else f"{name} ({', '.join(places)})"] = value_of(
                text, results.spec.losses[name].packages
            )
    return losses


def _where(results: BenchmarkResults, one: DataResults, system: System) -> str:
    assert system.group is not None
    names = [one.name] if len(results.data) > 1 else []
    names += [system.group.scorer_name] if len(results.spec.scorers) > 1 else []
    return " ".join(names)
