"""What predictions of labels must beat: a constant, documents in random order, and where lengths are known the longest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ltr.io.labelled import LabelledLists
from ltr.metrics.measures.label_measures import LabelMeasure
from ltr.metrics.measures.labels import LabelEvaluation, evaluate_labels

CONSTANT = "constant (mean of train)"
RANDOM = "random order"
LONGEST = "longest"


def yardsticks(
    truth: LabelledLists, measures: Sequence[LabelMeasure], mean: float | None = None
) -> list[LabelEvaluation]:
    """The values of predictors that know nothing, each by the measures that tell something of it.

    The constant predicts the mean of the training labels: errors and R². A random order has no unit: it has the other
    measures, each at its expectation over all orders; and so has the order by length, where lengths are known. A correlation is 0 then, and nDCG and ``precision_top`` are what tied
    predictions get.

    Args:
        truth: the labels.
        measures: what is measured.
        mean: of the training labels, in the unit of ``truth.labels``; None where it is not known: then no constant.

    >>> truth = LabelledLists(["a"], [0, 2], [3.0, 1.0])
    >>> [e.means for e in yardsticks(truth, [LabelMeasure("mae"), LabelMeasure("ndcg_label", cutoff=1)], mean=1.5)]
    [{'mae': 1.0}, {'ndcg_label@1': 0.6666666666666666}]
    """
    exact = [measure for measure in measures if measure.kind.in_unit]
    ranked = [measure for measure in measures if not measure.kind.in_unit]
    evaluations = []
    if exact and mean is not None:
        evaluations.append(evaluate_labels(np.full(len(truth.labels), mean), truth, exact, CONSTANT))
    if ranked:
        tied = evaluate_labels(np.zeros(len(truth.labels)), truth, ranked, RANDOM)
        own = evaluate_labels(truth.labels, truth, ranked).means  # undefined where every order's correlation is
        means = {text: 0.0 * own[text] if m.correlates else tied.means[text] for m in ranked for text in (str(m),)}
        evaluations.append(LabelEvaluation(RANDOM, truth.query_ids, means, {}, tied.conventions))
        if truth.lengths is not None:
            evaluations.append(evaluate_labels(truth.lengths, truth, ranked, LONGEST))
    return evaluations
