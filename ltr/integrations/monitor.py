"""The measure on dev that decides when a ranker from outside has trained enough."""

from __future__ import annotations

import math

import numpy as np

from ltr.data.base import RankingData
from ltr.errors import ConfigError
from ltr.integrations.flat import FlatLists
from ltr.io.runs import Run, as_bytes
from ltr.metrics import LabelMeasure, evaluate, evaluate_labels
from ltr.metrics.measures.labels import check_measures
from ltr.metrics.measures.measure import parse
from ltr.training.scored import truth_of


class DevMonitor:
    """One measure of predictions on the dev part, by the same code that measures everything else.

    Args:
        data: a data module of feature lists, set up.
        dev: its dev part.
        monitor: the measure: of judgements, such as ``ndcg@10``, or of real-valued labels, such as ``rmse_top.2``.

    Attributes:
        measure: what is measured.
        values: what was measured so far, in order; NaN where the measure is undefined.

    Raises:
        ConfigError: an unknown measure, or one of judgements where the labels are real values.
        DataError: negative labels, and a measure that sums them up as gains.
    """

    def __init__(self, data: RankingData, dev: FlatLists, monitor: str):
        self.measure, part = parse(monitor), data.part("dev")
        self.values: list[float] = []
        self.query_ids, self.offsets = dev.batch.query_ids, dev.batch.list_offsets.numpy()
        if isinstance(self.measure, LabelMeasure):
            known = part.labels
            self.truth = truth_of("dev", self.query_ids, self.offsets, dev.batch.doc_ids, dev.labels, known)
            check_measures(self.truth, [self.measure], f"{dev.owner}: dev")
            return
        if part.qrels is None:
            raise ConfigError(
                f"{dev.owner}: {monitor} needs whole-number judgements, and the labels of dev are real values; monitor "
                "a measure of labels, such as ndcg_label@10 or rmse"
            )
        self.qrels = part.qrels
        self.docs = as_bytes(dev.batch.doc_ids)  # once, not in every round

    def __call__(self, predictions: np.ndarray) -> float:
        """The measure of [documents] predictions, remembered."""
        if isinstance(self.measure, LabelMeasure):
            value = evaluate_labels(predictions, self.truth, self.measure)[self.measure]
        else:
            run = Run(self.query_ids, self.offsets, self.docs, predictions, "dev")
            value = evaluate(run, self.qrels, self.measure)[self.measure]
        self.values.append(value)
        return value

    def ordered(self, value: float) -> float:
        """``value`` as it can be compared: an undefined one is worse than all others."""
        if not math.isnan(value):
            return value
        return -math.inf if self.measure.larger_is_better else math.inf

    def course(self) -> list[dict[str, float]]:
        """What was measured, with its step."""
        return [{"step": step, f"dev/{self.measure}": value} for step, value in enumerate(self.values, 1)]
