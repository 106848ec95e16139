"""From the cells of a benchmark to measured systems: values per query and seed, summaries, contrasts, costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ltr.experiments.cells.truth import Truth
from ltr.experiments.spec.plan import Group
from ltr.experiments.spec.spec import Spec
from ltr.io.runs import Run
from ltr.metrics import evaluate
from ltr.metrics.measures.labels import conventions as conventions_of_labels
from ltr.metrics.measures.measure import AnyMeasure, Measure, measures
from ltr.metrics.measures.yardsticks import yardsticks
from ltr.metrics.statistics.contrasts import Contrast, contrast, corrected
from ltr.metrics.statistics.pooled_samples import Pooled, Sample, draw_together, sample
from ltr.metrics.statistics.samples import PerQuery
from ltr.metrics.statistics.seeds import Summary, summarise
from ltr.report.tables.table import Cell

#: name of the candidates as they came, where there is a first stage
FIRST = "first stage"


@dataclass(frozen=True, eq=False)
class System:
    """The trainings of one loss and scorer on one data set.

    Attributes:
        name: in tables.
        group: the cells it comes from; None for the first stage.
        seeds: of the finished cells.
        scores: [seeds, documents] of the test part.
    """

    name: str
    group: Group | None
    seeds: list[int]
    scores: np.ndarray

    def only(self, seeds: Sequence[int]) -> System:
        """With some of its seeds."""
        return System(self.name, self.group, list(seeds), self.scores[[self.seeds.index(s) for s in seeds]])


@dataclass(eq=False)
class DataResults:
    """All systems on one data set.

    Attributes:
        name: of the data set in the spec.
        truth: its test part.
        systems: those with a finished seed, in the order of the spec; the first stage before them.
        samples: name of a system -> what it reached on each measure: measured once, for tables, page and files.
        summaries: one per system and measure; below them a constant's and a random order's, for measures of real labels.
        conventions: how it was measured.
    """

    name: str
    truth: Truth
    systems: list[System]
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    summaries: list[Summary] = field(default_factory=list)
    conventions: str = ""

    def system(self, name: str) -> System | None:
        return next((s for s in self.systems if s.name == name), None)

    def runs(self, system: System) -> list[Run]:
        """A run per seed."""
        return [self.truth.ranked(scores, system.name) for scores in system.scores]

    def per_query(self) -> tuple[list[str], dict[str, dict[str, np.ndarray]]]:
        """The queries, and system -> measure -> [seeds, queries] values of the measures that have one for each query.

        Measures may know other queries, in another order (judged ones and labelled ones): NaN where one has no value.
        """
        known = {s.name: [x for x in self.samples[s.name] if isinstance(x, PerQuery)] for s in self.systems}
        ids = list(dict.fromkeys(q for sampled in known.values() for x in sampled for q in x.query_ids))
        by_measure: dict[str, dict[str, np.ndarray]] = {}
        for system, sampled in known.items():
            for one in sampled:
                place = {q: i for i, q in enumerate(one.query_ids)}
                at = np.array([place.get(q, -1) for q in ids])
                values = np.where(at >= 0, one.values[:, at], np.nan)
                by_measure.setdefault(system, {})[str(one.measure)] = values
        return ids, by_measure


@dataclass(eq=False)
class BenchmarkResults:
    """Everything a benchmark measured.

    Attributes:
        data: results by data set.
        contrasts: with Holm's correction over all of them.
        missing: what is not finished, a line each.
        notes: what is to be said of the data, a line each.
        failures: (cell, reason).
    """

    spec: Spec
    data: list[DataResults]
    contrasts: list[Contrast]
    missing: list[str]
    failures: list[tuple[str, str]]
    notes: list[str] = field(default_factory=list)

    def costs(self) -> dict[tuple[str, str], dict[str, float]]:
        """(data set, system) -> seconds of a training (mean over seeds) and peak memory."""
        costs: dict[tuple[str, str], dict[str, float]] = {}
        for one in self.data:
            for system in one.systems:
                if system.group is not None:
                    records = [cell.record for cell in system.group.seeds.values() if cell.finished]
                    costs[one.name, system.name] = {
                        "seconds": round(float(np.mean([r["seconds"] for r in records])), 1),
                        "memory MB": round(float(max(r.get("gpu_memory_mb", r["memory_mb"]) for r in records))),
                    }
        return costs

    def cost_cells(self) -> dict[tuple[str, str], dict[str, Cell]]:
        """The same as cells of a table."""
        return {place: {name: Cell(v, digits=1) for name, v in own.items()} for place, own in self.costs().items()}


def results(spec: Spec, groups: Sequence[Group], truths: dict[str, Truth]) -> BenchmarkResults:
    """Measure all finished cells and compare them with the baseline.

    Args:
        spec: the benchmark.
        groups: with their cells.
        truths: the test part of each data set, by name.
    """
    chosen = measures(spec.measures)
    data, contrasts = [], []
    for name, truth in truths.items():
        own = [g for g in groups if g.data_name == name]
        one = DataResults(name, truth, _systems(own, truth))
        one.samples = {s.name: _samples(one, s, chosen) for s in one.systems}
        _draw(one.samples)
        one.summaries = [summarise(sampled) for by in one.samples.values() for sampled in by]
        one.summaries += _yardsticks(one, chosen)
        one.conventions = _conventions(one, chosen)
        contrasts += _contrasts(spec, one, chosen)
        data.append(one)
    return BenchmarkResults(spec, data, corrected(contrasts), _missing(groups, truths), _failures(groups))


def per_query(results: BenchmarkResults) -> pd.DataFrame:
    """One row per data set, system, seed and query, one column per measure that has values per query."""
    frames = []
    for one in results.data:
        ids, measured = one.per_query()
        seeds = {system.name: system.seeds for system in one.systems}
        for name, values in measured.items():
            columns: dict[str, object] = {
                "data": one.name,
                "system": name,
                "seed": np.repeat(seeds[name], len(ids)),
                "query_id": ids * len(seeds[name]),
            }
            frames.append(pd.DataFrame({**columns, **{measure: v.ravel() for measure, v in values.items()}}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def per_seed(results: BenchmarkResults) -> pd.DataFrame:
    """One row per data set, system, measure and seed: the value of that training on the whole test part."""
    rows = []
    for one in results.data:
        for system in one.systems:
            for sampled in one.samples[system.name]:
                for seed, value in zip(system.seeds, sampled.seed_means.tolist(), strict=True):
                    rows.append((one.name, system.name, str(sampled.measure), seed, value))
    return pd.DataFrame(rows, columns=["data", "system", "measure", "seed", "value"])


def baseline_of(spec: Spec, one: DataResults, system: System) -> System | None:
    """The system that another is compared with: the baseline loss on the same scorer, else on the first scorer."""
    groups = [s for s in one.systems if s.group is not None and s.group.loss_name == spec.baseline]
    if system.group is None or not groups:
        return None
    same = [s for s in groups if s.group is not None and s.group.scorer_name == system.group.scorer_name]
    return (same or groups)[0]


def _systems(groups: Sequence[Group], truth: Truth) -> list[System]:
    systems = []
    if truth.first is not None:
        systems.append(System(FIRST, None, [0], truth.first[None]))
    for group in groups:
        seeds = sorted(seed for seed, cell in group.seeds.items() if cell.finished)
        if seeds:
            systems.append(System(group.system, group, seeds, np.stack([group.seeds[s].scores for s in seeds])))
    return systems


def _samples(one: DataResults, system: System, chosen: Sequence[AnyMeasure]) -> list[Sample]:
    """What a system reached on each measure, for each seed and query; measures that the labels do not allow are left out."""
    samples: list[Sample] = []
    qrels = one.truth.qrels
    judged = [m for m in chosen if isinstance(m, Measure)]
    evaluated = [evaluate(run, qrels, judged) for run in one.runs(system)] if qrels and judged else []
    lists = one.truth
    # scores that were learnt from labels in another unit have no error in this one
    other_unit = system.group is not None and not system.group.plain
    for measure in chosen:
        if not isinstance(measure, Measure):
            if other_unit and measure.kind.in_unit:
                continue
            samples.append(sample(system.name, measure, system.scores, lists, one.name))
        elif evaluated:
            values = np.stack([e.values[str(measure)] for e in evaluated])
            samples.append(PerQuery(system.name, measure, values, evaluated[0].query_ids, one.name))
    return samples


def _draw(samples: dict[str, list[Sample]]) -> None:
    """Let all systems draw the resamples of each pooled measure together."""
    by_measure: dict[str, list[Pooled]] = {}
    for sampled in samples.values():
        for one in sampled:
            if isinstance(one, Pooled):
                by_measure.setdefault(str(one.measure), []).append(one)
    for own in by_measure.values():
        draw_together(own)


def _yardsticks(one: DataResults, chosen: Sequence[AnyMeasure]) -> list[Summary]:
    """What predictors that know nothing reach on measures of labels: figures without chance, so without intervals."""
    if not one.systems:
        return []
    labelled = [m for m in chosen if not isinstance(m, Measure)]
    return [
        Summary(
            *(one.name, e.run, measure, e.means[str(measure)]),
            low=math.nan,
            high=math.nan,
            seed_sd=math.nan,
            seed_min=e.means[str(measure)],
            seed_max=e.means[str(measure)],
            seed_low=math.nan,
            seed_high=math.nan,
            n_seeds=1,
            n_queries=len(e.query_ids),
        )
        for e in yardsticks(one.truth, labelled, one.truth.mean)
        for measure in labelled
        if str(measure) in e.means
    ]


def _contrasts(spec: Spec, one: DataResults, chosen: Sequence[AnyMeasure]) -> list[Contrast]:
    contrasts = []
    # a system that lacks a seed is compared on those that both have; all others with what was measured already
    known = {(s.name, tuple(s.seeds)): one.samples[s.name] for s in one.systems}
    for system in one.systems:
        base = baseline_of(spec, one, system)
        if base is None or base is system:
            continue
        common = tuple(s for s in system.seeds if s in base.seeds)
        if not common:
            continue
        for side in (system, base):
            if (side.name, common) not in known:
                known[side.name, common] = _samples(one, side.only(common), chosen)
        bases = {str(sampled.measure): sampled for sampled in known[base.name, common]}
        for sampled in known[system.name, common]:
            if str(sampled.measure) in bases:
                contrasts.append(contrast(sampled, bases[str(sampled.measure)], spec.tests))  # type: ignore[arg-type]
    return contrasts


def _conventions(one: DataResults, chosen: Sequence[AnyMeasure]) -> str:
    """The line that makes two tables comparable."""
    if not one.systems:
        return ""
    judged = [m for m in chosen if isinstance(m, Measure)]
    labelled = [m for m in chosen if not isinstance(m, Measure)]
    parts = []
    if judged and one.truth.qrels:
        system = one.systems[-1].only(one.systems[-1].seeds[:1])
        parts.append(evaluate(one.runs(system)[0], one.truth.qrels, judged).conventions)
    if labelled:
        parts.append(conventions_of_labels(labelled, one.truth))
    return "; ".join(parts)


def _missing(groups: Sequence[Group], truths: dict[str, Truth]) -> list[str]:
    scored = dict.fromkeys(g.data_name for g in groups if any(cell.finished for cell in g.seeds.values()))
    missing = [
        f"{name}: its test part is gone from the folder truth/, so its finished cells cannot be measured; put it back, or "
        "remove one of its seed folders and run again"
        for name in scored
        if name not in truths
    ]
    for group in groups:
        trials = group.n_trials - len(group.trials)
        seeds = [s for s in group.spec.seeds if s not in group.seeds]
        if group.hopeless:
            missing.append(f"{group.title}: all {group.n_trials} trials failed, so no seed was trained")
        elif trials or seeds:
            parts = [f"{trials} of {group.n_trials} trials"] if trials else []
            parts += [f"seeds {', '.join(map(str, seeds))}"] if seeds else []
            missing.append(f"{group.title}: {' and '.join(parts)} not run yet")
    return missing


def _failures(groups: Sequence[Group]) -> list[tuple[str, str]]:
    failures = []
    for group in groups:
        for kind, cells in (("trial", group.trials), ("seed", group.seeds)):
            for number, cell in cells.items():
                if not cell.finished:
                    failures.append((f"{group.title} · {kind} {number}", cell.record["reason"]))
    return failures
