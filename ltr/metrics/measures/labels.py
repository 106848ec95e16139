"""Real-valued labels of lists, and predictions measured against them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ltr.errors import ConfigError, DataError
from ltr.io.labelled import LabelledLists
from ltr.metrics.measures import preferences
from ltr.metrics.measures.focus import checked, ndcg_of_labels, top_share
from ltr.metrics.measures.label_measures import LabelMeasure
from ltr.metrics.measures.syntax import notation_of

logger = logging.getLogger(__name__)

#: what was warned of already
_told: set[str] = set()


@dataclass(frozen=True, eq=False)
class LabelEvaluation:
    """Values of label measures.

    Attributes:
        run: the name of what was measured.
        query_ids: of the lists, in their order.
        means: measure text -> its value: over the pool of documents, or the mean over lists.
        values: measure text -> [lists] float64, for the measures that have a value per list.
        conventions: one line that makes two tables comparable.
    """

    run: str
    query_ids: list[str]
    means: dict[str, float]
    values: dict[str, np.ndarray] = field(default_factory=dict)
    conventions: str = ""

    def __getitem__(self, measure: str | LabelMeasure) -> float:
        """The value of one measure."""
        return self.means[str(LabelMeasure.parse(measure))]


def evaluate_labels(
    predictions: np.ndarray,
    truth: LabelledLists,
    measures: str | LabelMeasure | Iterable[str | LabelMeasure],
    name: str = "predictions",
) -> LabelEvaluation:
    """Measure predictions against real-valued labels.

    Args:
        predictions: [documents] in the order of the labels, in their unit (errors) or any other (correlations, nDCG).
        truth: the labels.
        measures: such as ``["rmse_top.2", "ndcg_label@10"]``.
        name: shown in tables.

    Raises:
        ConfigError: for an unknown measure.
        ShapeError: not one prediction per label.
        DataError: a prediction that is not finite; a negative gain where nDCG is asked for.

    Where equal labels make the top share much larger than it was asked for, a warning is logged once.

    >>> truth = LabelledLists(["a", "b"], [0, 2, 4], [3.0, 1.0, 2.0, 0.0])
    >>> evaluate_labels(np.array([2.0, 1.0, 0.0, 2.0]), truth, ["mae", "ndcg_label@1"]).means
    {'mae': 1.25, 'ndcg_label@1': 0.5}
    """
    several = [measures] if isinstance(measures, (str, LabelMeasure)) else measures
    chosen = list(dict.fromkeys(map(LabelMeasure.parse, several)))
    p, _ = checked("labels", predictions, truth.labels)
    values = {str(m): per_list(m, p, truth) for m in chosen if m.per_query}
    means = {
        str(m): float(values[str(m)].mean()) if m.per_query else m.pooled(p, truth.labels, truth.gains) for m in chosen
    }
    for warning in wide_regions(chosen, truth):
        if warning not in _told:
            _told.add(warning)
            logger.warning("%s", warning)
    return LabelEvaluation(name, truth.query_ids, means, values, conventions(chosen, truth))


def check_measures(truth: LabelledLists, measures: Iterable[LabelMeasure], who: str) -> None:
    """Raise DataError, in the name of ``who``, where a measure cannot be taken of any predictions of these lists."""
    measures = list(measures)
    if truth.lengths is None and any(m.name == "spearman_length" for m in measures):
        raise DataError(
            f"{who}: spearman_length needs the lengths of documents, which these data do not give; leave it out"
        )
    asked = next((m for m in measures if m.name.startswith("ndcg")), None)
    if asked is not None and (truth.gains < 0).any():
        at = int(np.argmax(truth.gains < 0))
        list_number = int(np.searchsorted(truth.offsets, at, "right")) - 1
        raise DataError(
            f"{who}: {asked} sums up labels as gains, which must be 0 or more, got {truth.gains[at]:g} (document "
            f"{at - int(truth.offsets[list_number]) + 1} of list {truth.query_ids[list_number]}); take another measure, "
            "such as spearman or rmse_top.2, or shift the labels"
        )


def per_list(measure: LabelMeasure, predictions: np.ndarray, truth: LabelledLists) -> np.ndarray:
    """[lists] values of a measure that has one per list. Raises ConfigError for one that pools."""
    if not measure.per_query:
        raise ConfigError(f"measure {measure} pools the documents of all lists and has no value per list")
    if measure.name.startswith("pair_accuracy"):
        return preferences.pair_accuracy(predictions, truth.labels, truth.offsets, measure.share)
    if measure.name == "best_of":
        return preferences.best_of(predictions, truth.gains, truth.offsets, measure.cutoff)
    if measure.name == "regret":
        return preferences.regret(predictions, truth.gains, truth.offsets)
    if measure.name == "spearman_length":
        check_measures(truth, [measure], "labels")
        assert truth.lengths is not None
        return preferences.length_correlation(predictions, truth.lengths, truth.offsets)
    longest = int(np.diff(truth.offsets).max())
    return ndcg_of_labels(predictions, truth.gains, measure.cutoff or longest, truth.offsets)


def wide_regions(measures: Sequence[LabelMeasure], truth: LabelledLists) -> list[str]:
    """A sentence for each top share that equal labels fill with more than half of the documents that should be outside."""
    notes = []
    for share in _shares(measures):
        focus = top_share(truth.labels, share)
        if focus.mean() > (1 + share) / 2:
            names = ", ".join(str(m) for m in measures if m.share == share)
            rest = "nothing is left for rest" if focus.all() else "the rest is small"
            notes.append(
                f"{names}: {notation_of('top', share, 1, 0)} covers {focus.mean():.0%} of the documents, since so many labels "
                f"are at least {truth.labels[focus].min():.6g}, the lowest of the top {share:.0%}, and {rest}"
            )
    return notes


def conventions(measures: Sequence[LabelMeasure], truth: LabelledLists) -> str:
    """What one must know to compare values with those of another table: counts, regions, pooling, gains, ties."""
    pooled = [str(m) for m in measures if not m.per_query]
    parts = [f"{len(truth):,} lists, {len(truth.labels):,} documents"]
    if pooled:
        parts.append(f"pooled over all documents: {', '.join(pooled)}")
    if each := [str(m) for m in measures if m.per_query]:
        parts.append(f"per list, then averaged: {', '.join(each)} ({_without(measures)})")
    for share in _shares(measures):
        focus = top_share(truth.labels, share)
        covered = f"{focus.sum():,} documents"
        if focus.mean() > (1 + share) / 2:
            covered += f", {focus.mean():.0%} of all: many labels are equal"
        parts.append(
            f"{notation_of('top', share, 1, 0)}: labels >= {truth.labels[focus].min():.6g} ({covered}), rest: others"
        )
    if any(not m.larger_is_better for m in measures):
        unit = f" ({truth.unit})" if truth.unit else ""
        parts.append(f"errors in the unit of the labels{unit}, smaller is better")
    if any(m.name == "r2" for m in measures):
        parts.append(
            "r2: 1 - squared errors / squared deviations from the mean of these labels; below 0: worse than it"
        )
    if any(m.kind.cutoff for m in measures):
        if np.array_equal(truth.gains, truth.labels):
            gain = "the label" + (f", {truth.gain_unit}" if truth.gain_unit else "")
        else:  # seconds of a label that is their logarithm, or another field of a response
            gain = f"{truth.gain_unit}, not the label" if truth.gain_unit else "the label before its transform"
        parts.append(f"gain: {gain}; tied predictions share their mean gain")
    if any(m.correlates and not m.per_query for m in measures):
        parts.append("correlations: nan where one side is constant")
    return "; ".join(parts)


def _shares(measures: Sequence[LabelMeasure]) -> list[float]:
    """Top shares of all labels together."""
    return list(dict.fromkeys(m.share for m in measures if m.share is not None and not m.per_query))


def _without(measures: Sequence[LabelMeasure]) -> str:
    """What counts for lists in which a measure is not defined."""
    said = {"ndcg_label": "lists without gain count 0", "pair_accuracy": "lists without a pair count .5"}
    said["spearman_length"] = "constant lists count 0"
    named = [text for name, text in said.items() if any(m.name.startswith(name) for m in measures)]
    return ", ".join(named) or "every list counts"
