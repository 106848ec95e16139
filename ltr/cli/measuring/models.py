"""Scorers on features measured against the labels of a file, as ``ltr evaluate --model`` does."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ltr.cli.judged import RANKINGS
from ltr.data import EngagementData, LetorData
from ltr.data.collections.shares import sliced, unsliced
from ltr.data.features.engagement import TABLES
from ltr.data.features.feature_data import FeatureData
from ltr.data.overlap import overlaps
from ltr.errors import ConfigError
from ltr.inference.feature_ranker import FeatureRanker
from ltr.io.labelled import LabelledLists
from ltr.io.sources import Source
from ltr.metrics import LabelEvaluation, LabelMeasure, Measure, evaluate, evaluate_labels
from ltr.metrics.measures.labels import check_measures
from ltr.metrics.measures.measure import AnyMeasure, measures
from ltr.metrics.measures.yardsticks import yardsticks
from ltr.metrics.statistics.paired import Comparison, compare, compare_labels
from ltr.report.tables.evaluations import contrasts_table, label_table, long_table, means_table, per_query_table
from ltr.report.tables.table import Table
from ltr.scorers import FeatureScorer, load_scorer
from ltr.settings import FeatureSettings

if TYPE_CHECKING:
    from ltr.metrics.engine import Evaluation
    from ltr.metrics.statistics.p_values import Test

#: what real-valued labels are measured by where nothing is asked for
LABELS = ["ndcg_label@10", "spearman", "r2", "rmse", "rmse_top.2", "rmse_rest.2"]

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Measured:
    """Models measured on one file.

    Attributes:
        dataset: the file, as the user wrote it.
        judged: by measures of judgements, a model each; empty where there are none.
        labelled: by measures of labels, models and then yardsticks; empty where none was asked for.
        read: those that have a unit, in that of the file, where another was learnt.
        unit: that unit.
        learnt: the unit of ``labelled``.
        comparisons: of each of the three, by its name.
    """

    dataset: str
    judged: list[Evaluation] = field(default_factory=list)
    labelled: list[LabelEvaluation] = field(default_factory=list)
    read: list[LabelEvaluation] = field(default_factory=list)
    unit: str = ""
    learnt: str = ""
    comparisons: dict[str, Comparison] = field(default_factory=dict)

    def tables(self, intervals: bool) -> list[Table]:
        """Tables for readers: means beside yardsticks, then the models against the first of them."""
        tables = []
        if self.judged:
            tables += [means_table(self.judged, self.comparisons["judged"], self.dataset, intervals=intervals)]
        titles = {"labelled": self.dataset, "read": f"{self.dataset}, labels and predictions in {self.unit}"}
        for kind, title in titles.items():
            if rows := getattr(self, kind):
                tables.append(label_table(rows, title, self.comparisons[kind], intervals=intervals))
        for kind, comparison in self.comparisons.items():
            if comparison.contrasts:
                where = f", in {self.unit}" if kind == "read" else ""
                tables.append(contrasts_table(comparison, f"Against {comparison.baseline}{where}"))
        return tables

    def whole(self, intervals: bool) -> Table:
        """All figures in one table for programs; a column says which unit errors are in."""
        kinds = [kind for kind in ("judged", "labelled", "read") if getattr(self, kind)]
        parts = [long_table(getattr(self, kind), self.comparisons[kind], intervals=intervals) for kind in kinds]
        rows: list[list[Any]] = []
        for kind, part in zip(kinds, parts, strict=True):
            unit = self.unit if kind == "read" else self.learnt
            for run, measure, *figures in part.rows:
                exact = kind != "judged" and LabelMeasure.parse(measure).kind.in_unit
                rows.append([run, measure, unit if exact else "", *figures])
        columns = [*parts[0].columns[:2], "unit", *parts[0].columns[2:]]
        header = "; ".join(dict.fromkeys(getattr(self, kind)[0].conventions for kind in kinds))
        return Table(columns, rows, self.dataset, header, list(dict.fromkeys(n for part in parts for n in part.notes)))

    def per_list(self) -> Table:
        """One row per list and model, one column per measure that has values per list.

        Raises:
            ConfigError: no measure has one.
        """
        kinds = [rows for rows in (self.judged, self.labelled) if rows and rows[0].values]
        if not kinds:
            raise ConfigError(
                "--per-query: all of these measures pool the documents of all lists, so that none has a value per list; "
                "ndcg_label@10 has"
            )
        tables = [per_query_table([e for e in rows if e.values]) for rows in kinds]
        places: dict[tuple[str, str], list[Any]] = {}
        for table in tables:
            for query_id, run, *values in table.rows:
                places.setdefault((query_id, run), []).extend(values)
        columns = [*tables[0].columns[:2], *(name for table in tables for name in table.columns[2:])]
        return Table(columns, [[*place, *values] for place, values in places.items()])


def rankers_of(models: Mapping[str, str], device: str, allow: Sequence[str]) -> dict[str, FeatureRanker]:
    """Name -> scorer, from folder -> name.

    Raises:
        ConfigError: a model of texts, whose runs are measured.
    """
    rankers = {}
    for folder, name in models.items():
        scorer = load_scorer(folder, allow)
        if not isinstance(scorer, FeatureScorer):
            raise ConfigError(
                f"--model {folder}: {type(scorer).__name__} scores texts, and --model measures scorers on features; rerank "
                "with it (ltr rerank) and measure the run: ltr evaluate --run RUN --dataset NAME"
            )
        rankers[name] = FeatureRanker(scorer, FeatureSettings.read(folder), device)
    return rankers


def reading_of(rankers: Mapping[str, FeatureRanker], given: Mapping[str, str | None]) -> dict[str, Any]:
    """How the file is to be read: as for the models' training, but for what was given.

    Raises:
        ConfigError: models that were trained on lists of other columns, or with other labels.
    """
    readings = {}
    for name, ranker in rankers.items():
        settings = ranker.settings
        known: tuple[str, ...] = ("labels",) if ranker.target is None else ("list_id", "item_id", "label", "split_by")
        reading = {option: settings.reading[option] for option in known if option in settings.reading}
        if ranker.target is not None and settings.unit:
            reading.setdefault("label", settings.unit)
        elif ranker.target is None:
            reading.setdefault("labels", "grades" if settings.unit == "grades" else "real")
        wrong = [f"--{option.replace('_', '-')}" for option, value in given.items() if value and option not in known]
        if wrong:
            raise ConfigError(
                f"{wrong[0]} names a column of a table, and {name} was trained on SVMlight files of LetorData"
            )
        readings[name] = reading | {option: value for option, value in given.items() if value is not None}
    (first, reading), *others = readings.items()
    for name, other in others:
        if other != reading:
            differing = next(option for option in {**reading, **other} if reading.get(option) != other.get(option))
            raise ConfigError(
                f"{first} and {name} were trained on data that are read in two ways ({differing}: "
                f"{reading.get(differing)!r} and {other.get(differing)!r}); "
                + (
                    f"say which with --{differing.replace('_', '-')}"
                    if differing in given
                    else "evaluate each by itself"
                )
            )
    return reading


def measured(
    rankers: Mapping[str, FeatureRanker],
    dataset: str,
    chosen: Sequence[AnyMeasure] | None,
    reading: Mapping[str, Any],
    baseline: str | None,
    tests: Sequence[Test],
    seed: int,
    intervals: bool,
) -> Measured:
    """Score a file by each model, and measure the scores against its labels as they were read.

    Args:
        rankers: name -> model.
        dataset: the file, or a share of it.
        chosen: the measures; None for what suits the labels.
        reading: see ``reading_of``.
        baseline: the model that the others are compared with; the first by default.
        tests: paired tests.
        seed: of draws and permutations.
        intervals: whether intervals are shown.

    Raises:
        ConfigError: measures that these labels do not allow.
        DataError: what is wrong with the file.
    """
    files: dict[tuple[tuple[str, ...], str | None], FeatureData] = {}
    scores = {}
    for name, ranker in rankers.items():
        read_as = ranker.settings.feature_names, _trained_part(ranker, dataset)
        if read_as not in files:
            if files and not Source(unsliced(dataset), "data").regular:
                raise ConfigError(
                    f"--dataset {dataset} can be read once, and {name} reads other columns of it than the models before; "
                    "write it to a file"
                )
            files[read_as] = _data(ranker, dataset, reading)
        table = files[read_as].table("test")
        scores[name] = ranker.scores(table.features, np.diff(table.offsets).tolist()).astype(np.float64)
    data = next(iter(files.values()))
    grades = data.part("test").qrels
    asked = list(chosen) if chosen is not None else _suiting(data)
    judged = [measure for measure in asked if isinstance(measure, Measure)]
    if judged and grades is None:
        raise ConfigError(
            f"measure {judged[0]} compares rankings with judgements, and the labels of {dataset} are real values; take "
            "ndcg_label@10, spearman, rmse_top.2 ..., see: ltr guide measuring"
        )
    found = Measured(dataset)
    table = data.table("test")
    ids = table.query_ids, table.offsets
    doc_ids = table.doc_ids(np.arange(table.n_docs))
    if judged:
        lists = LabelledLists(*ids, table.labels, None, doc_ids)
        found.judged = [evaluate(lists.ranked(scored, name), grades or {}, judged) for name, scored in scores.items()]
        found.comparisons["judged"] = compare(found.judged, baseline, tests, seed=seed)
    labelled = [measure for measure in asked if isinstance(measure, LabelMeasure)]
    read = LabelledLists(*ids, table.labels, unit=data.unit)
    check_measures(read, labelled, dataset)
    found.unit = read.unit or "the unit read"
    for view in _views(rankers, scores, read, labelled):
        if view.measures:
            if view.kind == "labelled":
                found.learnt = view.truth.unit
            rows = [evaluate_labels(p, view.truth, view.measures, name) for name, p in view.predictions.items()]
            setattr(found, view.kind, [*rows, *yardsticks(view.truth, view.measures, view.mean)])
            found.comparisons[view.kind] = compare_labels(
                *(view.predictions, view.truth, view.measures, baseline, tests), seed=seed, intervals=intervals
            )
    return found


@dataclass(frozen=True, eq=False)
class _View:
    """Predictions beside labels in one unit: which rows of ``Measured`` they become, by which measures, and the constant."""

    kind: str
    predictions: Mapping[str, np.ndarray]
    truth: LabelledLists
    measures: Sequence[LabelMeasure]
    mean: float | None


def _views(
    rankers: Mapping[str, FeatureRanker],
    scores: Mapping[str, np.ndarray],
    read: LabelledLists,
    chosen: Sequence[LabelMeasure],
) -> list[_View]:
    """All measures in the unit that was learnt, where it is one, and those that have a unit in that of the file too.

    Models that learnt several transforms of the labels have no unit in common but that of the file: there their errors
    are, and all other measures look at the order of scores alone.
    """
    exact = [measure for measure in chosen if measure.kind.in_unit]
    targets = {name: ranker.target for name, ranker in rankers.items()}
    amounts = {name: scored if (t := targets[name]) is None else t.back(scored) for name, scored in scores.items()}
    means = {ranker.settings.mean_label for ranker in rankers.values()}
    target = next(iter(targets.values()))
    if any(other != target for other in targets.values()):
        ordering = [measure for measure in chosen if measure not in exact]
        return [_View("labelled", scores, read, ordering, None), _View("read", amounts, read, exact, None)]
    mean = means.pop() if len(means) == 1 else None  # of several training sets there are several constants
    if target is None:
        return [_View("labelled", scores, read, chosen, mean)]
    labels = target(read.labels)
    learnt = LabelledLists(read.query_ids, read.offsets, labels, read.labels, (), target.unit(read.unit), read.unit)
    views = [_View("labelled", scores, learnt, chosen, mean)]
    if not np.array_equal(labels, read.labels):
        back = None if mean is None else float(target.back(np.array([mean]))[0])
        views.append(_View("read", amounts, read, exact, back))
    return views


def _suiting(data: FeatureData) -> list[AnyMeasure]:
    """What labels are measured by where nothing is asked for; negative ones are no gains."""
    if data.has_grades:
        return measures(RANKINGS)
    negative = bool((data.table("test").labels < 0).any())
    return measures([name for name in LABELS if not (negative and name.startswith("ndcg"))])


def _data(ranker: FeatureRanker, dataset: str, reading: Mapping[str, Any]) -> FeatureData:
    """The file as data of a test part; where the model was trained on a part of it, what both share is told."""
    train = _trained_part(ranker, dataset)
    names, n_features = ranker.settings.feature_names, ranker.settings.n_features
    data: FeatureData
    if ranker.target is None:
        if Source(unsliced(dataset), "data").stem.endswith(TABLES):
            raise ConfigError(
                f"{dataset}: the model's {n_features} features have no names, so no columns are theirs; give SVMlight"
            )
        data = LetorData(train, test=dataset, n_features=n_features, **reading)
    else:
        if sliced(dataset) and "split_by" not in reading:
            raise ConfigError(
                f"--dataset {dataset}: a model of an earlier ltr does not say what its training's shares of files were "
                "shares of, lists or items; give a whole file that it was not trained on"
            )
        data = EngagementData(train, test=dataset, features=list(names), **reading)
    for overlap in overlaps(data):
        log.warning("%s", overlap)
    return data


def _trained_part(ranker: FeatureRanker, dataset: str) -> str | None:
    """The part of the same file that the model was trained on; None where it is another file."""
    place = os.path.realpath(unsliced(dataset))
    return next((name for name in ranker.settings.trained_on if os.path.realpath(unsliced(name)) == place), None)
