"""A measure is a value: it is parsed from the text that it prints."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from ltr.errors import ConfigError
from ltr.io.names import suggestion
from ltr.metrics.measures.label_measures import LABEL_KINDS, LabelMeasure
from ltr.metrics.measures.own import PATH, function_of, own_parts
from ltr.metrics.measures.syntax import notation_of, parse_notation


@dataclass(frozen=True)
class Kind:
    """What a family of measures is and which settings it takes.

    Attributes:
        text: one line about it.
        cutoff: whether ``@k`` may be given.
        gain: how a grade counts: ``"binary"`` (relevant or not), ``"linear"`` or ``"2^grade - 1"``.
    """

    text: str
    cutoff: bool
    gain: str = "binary"


#: the measures, by ranx's names
KINDS = {
    "ndcg": Kind("normalised discounted cumulative gain (Järvelin and Kekäläinen 2002)", True, "linear"),
    "ndcg_burges": Kind("normalised discounted cumulative gain (Burges et al. 2005)", True, "2^grade - 1"),
    "dcg": Kind("discounted cumulative gain (Järvelin and Kekäläinen 2002)", True, "linear"),
    "dcg_burges": Kind("discounted cumulative gain (Burges et al. 2005)", True, "2^grade - 1"),
    "mrr": Kind("1 / rank of the first relevant document", True),
    "map": Kind("mean of the precision at each relevant document", True),
    "recall": Kind("share of the relevant documents that are retrieved", True),
    "precision": Kind("share of the retrieved documents that are relevant", True),
    "f1": Kind("harmonic mean of precision and recall", True),
    "hits": Kind("number of relevant documents retrieved", True),
    "hit_rate": Kind("1 where a relevant document is retrieved", True),
    "r-precision": Kind("precision at the number of relevant documents", False),
    "bpref": Kind("relevant documents above judged irrelevant ones (Buckley and Voorhees 2004)", False),
    "rbp": Kind("rank-biased precision, rbp.95 for persistence 0.95 (Moffat and Zobel 2008)", False),
}
#: what other tools call them, for error messages
ELSEWHERE = {"rr": "mrr", "recip_rank": "mrr", "ap": "map", "p": "precision", "r": "recall", "success": "hit_rate"}
ELSEWHERE |= {
    "mse": "rmse",
    "rho": "spearman",
    "tau": "kendall",
    "rprec": "r-precision",
    "ndcg_cut": "ndcg@10",
    "map_cut": "map@10",
    "rbp": "rbp.95",
    "set_f": "f1",
}


@dataclass(frozen=True)
class Measure:
    """One measure with its settings, such as ``ndcg@10`` or ``precision-l2@5``.

    Args:
        name: one of ``KINDS``, or the import path of a function of one's own, such as ``mypkg.measures.first_click``: of
            (grades, ranks) of a query's judged documents, larger is better (see ``ltr.metrics.measures.own``).
        cutoff: ranks that count; 0 for all.
        level: smallest grade that counts as relevant; lower grades count nothing.
        persistence: of rank-biased precision only, in (0, 1): how likely a user goes on to the next rank.

    Raises:
        ConfigError: for an unknown name (with the nearest known one) or a setting that the measure does not take.

    >>> Measure.parse("precision-l2@5")
    Measure(name='precision', cutoff=5, level=2, persistence=None)
    >>> str(Measure.parse("rbp.95"))
    'rbp.95'
    """

    name: str
    cutoff: int = 0
    level: int = 1
    persistence: float | None = None
    #: as label measures have them: all of these measures say how good a ranking is, query by query
    larger_is_better: ClassVar[bool] = True
    per_query: ClassVar[bool] = True

    def __post_init__(self):
        if self.own:
            function_of(self.name)
        elif self.name not in KINDS:
            raise ConfigError(f"no measure {self.name!r}; {_nearest(self.name)}")
        if self.level < 1:
            raise ConfigError(f"measure {self.name}: the relevance level must be at least 1, got {self.level}")
        if self.cutoff < 0 or (self.cutoff and not self.kind.cutoff):
            takes = "a cutoff of at least 1" if self.kind.cutoff else "no cutoff"
            raise ConfigError(f"measure {self.name} takes {takes}, got @{self.cutoff}")
        if self.name == "rbp" and not 0 < (self.persistence or 0) < 1:
            raise ConfigError(
                f"measure rbp needs a persistence between 0 and 1, such as rbp.95, got {self.persistence}"
            )
        if self.name != "rbp" and self.persistence is not None:
            raise ConfigError(f"measure {self.name} takes no persistence, got {self.persistence:g}; only rbp does")

    @classmethod
    def parse(cls, text: str | Measure) -> Measure:
        """The measure that ``text`` names: ``name[.persistence][-l<level>][@cutoff]`` (``@cutoff-l<level>`` as well)."""
        if isinstance(text, Measure):
            return text
        if own := own_parts(text):
            path, level, cutoff = own
            return cls(path, cutoff, level)
        parts = parse_notation(text, _nearest(text))
        if parts.name in LABEL_KINDS:
            raise ConfigError(
                f"measure {text} compares predictions with real-valued labels, not rankings with judgements; leave it "
                "out here (ltr fit, ltr benchmark and ltr evaluate --model take it)"
            )
        return cls(parts.name, parts.cutoff, parts.level, parts.tail)

    @property
    def own(self) -> bool:
        """Whether it is a function outside ltr, named by its import path."""
        return PATH.fullmatch(self.name) is not None

    @property
    def kind(self) -> Kind:
        """What the measure is, its gain and whether it takes a cutoff."""
        if self.own:
            return Kind((function_of(self.name).__doc__ or self.name).strip().splitlines()[0], cutoff=True)
        return KINDS[self.name]

    def __str__(self) -> str:
        return notation_of(self.name, self.persistence, self.level, self.cutoff)


#: a measure of rankings against judgements, or of predictions against real-valued labels
AnyMeasure = Measure | LabelMeasure


def parse(text: str | AnyMeasure) -> AnyMeasure:
    """The measure that a text names, of either sort.

    >>> parse("rmse_top.2")
    LabelMeasure(name='rmse_top', share=0.2, cutoff=0)
    >>> parse("mrr@10")
    Measure(name='mrr', cutoff=10, level=1, persistence=None)

    Raises:
        ConfigError: for an unknown name (with the nearest known one) or a setting that the measure does not take.
    """
    if not isinstance(text, str):
        return text
    named = own_parts(text) is None and parse_notation(text, _nearest(text)).name in LABEL_KINDS
    return LabelMeasure.parse(text) if named else Measure.parse(text)


def measures(texts: str | AnyMeasure | Iterable[str | AnyMeasure]) -> list[AnyMeasure]:
    """Several measures from their texts, each once, in the order given.

    >>> [str(m) for m in measures(["ndcg@10", "mrr", "ndcg@10", "rmse"])]
    ['ndcg@10', 'mrr', 'rmse']
    """
    several = [texts] if isinstance(texts, (str, Measure, LabelMeasure)) else texts
    measures = list(dict.fromkeys(map(parse, several)))
    if not measures:
        raise ConfigError("no measure given; name at least one, such as ndcg@10")
    return measures


def of_rankings(texts: str | AnyMeasure | Iterable[str | AnyMeasure]) -> list[Measure]:
    """The same where only measures of rankings against judgements can be taken. Raises ConfigError for another."""
    return [Measure.parse(str(measure)) for measure in measures(texts)]


def _nearest(text: str) -> str:
    name = re.match(r"[a-z_-]*", text.strip().lower())[0].rstrip("_-")  # type: ignore[index]
    return f"did you mean {ELSEWHERE[name]!r}?" if name in ELSEWHERE else suggestion(name, {**KINDS, **LABEL_KINDS})
