"""Measures of predictions against real-valued labels: dwell seconds, teacher scores, convincingness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ltr.errors import ConfigError
from ltr.io.names import suggestion
from ltr.metrics.measures.focus import STATISTICS, ndcg_of_labels, precision_of_top, r2, top_share
from ltr.metrics.measures.syntax import notation_of, parse_notation


@dataclass(frozen=True)
class LabelKind:
    """What a family of label measures is and which settings it takes.

    Attributes:
        text: one line about it.
        larger_is_better: its direction; False for errors.
        region: ``"top"``, ``"rest"`` or ``""`` for all documents; ``top`` and ``rest`` take a share.
        cutoff: whether ``@k`` may be given.
        per_query: whether it has a value for each list; else the documents of all lists are pooled.
        in_unit: whether predictions must be in the unit of the labels; else only their order counts.
    """

    text: str
    larger_is_better: bool = True
    region: str = ""
    cutoff: bool = False
    per_query: bool = False
    in_unit: bool = False


_WHAT = {
    "rmse": "root of the mean squared error",
    "mae": "mean absolute error",
    "spearman": "Spearman's rank correlation, ties at their mean rank",
    "kendall": "Kendall's rank correlation tau-b",
}
_ERRORS = ("rmse", "mae")
_WHERE = {
    "": "over all documents",
    "top": "over the documents whose label is in the top share of all labels",
    "rest": "over the documents whose label is below the top share of all labels",
}
#: the measures of real-valued labels
LABEL_KINDS = {
    f"{what}_{region}".rstrip("_"): LabelKind(f"{text} {where}", what not in _ERRORS, region, in_unit=what in _ERRORS)
    for region, where in _WHERE.items()
    for what, text in _WHAT.items()
} | {
    "r2": LabelKind("R², the share of the labels' variance that is explained, over all documents", in_unit=True),
    "precision_top": LabelKind("share of the top labels among as many highest predictions", region="top"),
    "ndcg_label": LabelKind("nDCG of each list with the label as gain", cutoff=True, per_query=True),
    "pair_accuracy": LabelKind("share of a list's pairs of different labels in the right order", per_query=True),
    "pair_accuracy_top": LabelKind(
        "the same of pairs whose better document is in the top share of the list's labels", region="top", per_query=True
    ),
    "best_of": LabelKind(
        "gain of the highest prediction of a list, or of n drawn from it", cutoff=True, per_query=True
    ),
    "regret": LabelKind("what best_of misses of the list's largest gain", False, per_query=True),
    "spearman_length": LabelKind("Spearman's rank correlation of predictions and lengths in a list", per_query=True),
    "ndcg_pooled": LabelKind("nDCG of all documents as one list, with the label as gain", cutoff=True),
}


@dataclass(frozen=True)
class LabelMeasure:
    """One measure of predictions against real-valued labels, such as ``rmse_top.2`` or ``ndcg_label@10``.

    All but ``ndcg_label`` and those of preferences (``pair_accuracy``, ``best_of``, ``regret``, ``spearman_length``) pool
    the documents of all lists. The top share is ``ltr.metrics.measures.focus.top_share``: ``top.2``
    are the documents whose label is among the highest 20 % of all labels, ``rest.2`` all others. Undefined values are
    NaN: a correlation where all predictions or all labels are equal, R² where all labels are, anything over no documents
    (``rest`` where all labels are equal). A NaN is reported, and never chosen as best.

    Args:
        name: one of ``LABEL_KINDS``.
        share: of the labels, in (0, 1); for regions only.
        cutoff: ranks that count; 0 for all; for nDCG only.

    Raises:
        ConfigError: for an unknown name (with the nearest known one) or a setting that the measure does not take.

    >>> str(LabelMeasure("spearman_rest", 0.25))
    'spearman_rest.25'
    >>> LabelMeasure.parse("rmse").larger_is_better
    False
    """

    name: str
    share: float | None = None
    cutoff: int = 0

    def __post_init__(self):
        if self.name not in LABEL_KINDS:
            raise ConfigError(f"no measure of labels {self.name!r}; {suggestion(self.name, LABEL_KINDS)}")
        if self.kind.region and not 0 < (self.share or 0) < 1:
            raise ConfigError(
                f"measure {self.name} needs the share of the labels in focus, between 0 and 1, such as {self.name}.2 for "
                f"the top fifth, got {self.share}"
            )
        if not self.kind.region and self.share is not None:
            raise ConfigError(f"measure {self.name} takes no share, got {self.share:g}; only _top and _rest do")
        if self.cutoff < 0 or (self.cutoff and not self.kind.cutoff):
            takes = "a cutoff of at least 1" if self.kind.cutoff else "no cutoff"
            raise ConfigError(f"measure {self.name} takes {takes}, got @{self.cutoff}")

    @classmethod
    def parse(cls, text: str | LabelMeasure) -> LabelMeasure:
        """The measure that ``text`` names: ``name[.share][@cutoff]``."""
        if isinstance(text, LabelMeasure):
            return text
        parts = parse_notation(text, suggestion(text, LABEL_KINDS))
        if parts.level != 1:
            raise ConfigError(f"measure {text}: labels have no relevance level; leave -l{parts.level} out")
        return cls(parts.name, parts.tail, parts.cutoff)

    @property
    def kind(self) -> LabelKind:
        """What the measure is."""
        return LABEL_KINDS[self.name]

    @property
    def larger_is_better(self) -> bool:
        """Its direction."""
        return self.kind.larger_is_better

    @property
    def per_query(self) -> bool:
        """Whether it has a value for each list; else it pools the documents of all lists."""
        return self.kind.per_query

    @property
    def correlates(self) -> bool:
        """Whether it is a rank correlation, 0 for a random order."""
        return self.name.startswith(("spearman", "kendall"))

    def __str__(self) -> str:
        return notation_of(self.name, self.share, 1, self.cutoff)

    def pooled(self, predictions: np.ndarray, labels: np.ndarray, gains: np.ndarray) -> float:
        """The value over documents as one pool (for ``ndcg_label``: as one list).

        Args:
            predictions: [documents], in the unit of the labels.
            labels: [documents].
            gains: [documents] what nDCG sums up.
        """
        if self.kind.cutoff:
            return float(ndcg_of_labels(predictions, gains, self.cutoff or len(gains))[0])
        if self.name == "r2":
            return r2(predictions, labels)
        if not self.kind.region:
            return STATISTICS[self.name](predictions, labels)
        assert self.share is not None
        focus = top_share(labels, self.share)
        if self.name == "precision_top":
            return precision_of_top(predictions, focus)
        part = focus if self.kind.region == "top" else ~focus
        return STATISTICS[self.name.partition("_")[0]](predictions[part], labels[part])
