"""A measure is a value: it is parsed from the text that it prints."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ltr.errors import ConfigError
from ltr.io.names import suggestion


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
ELSEWHERE |= {"rprec": "r-precision", "ndcg_cut": "ndcg@10", "map_cut": "map@10", "rbp": "rbp.95", "set_f": "f1"}

_FORM = re.compile(r"(?P<name>[a-z_0-9-]+?)(?P<tail>\.\d+)?(?:-l(?P<l>\d+))?(?:@(?P<k>\d+))?(?:-l(?P<late>\d+))?")


@dataclass(frozen=True)
class Measure:
    """One measure with its settings, such as ``ndcg@10`` or ``precision-l2@5``.

    Args:
        name: one of ``KINDS``.
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

    def __post_init__(self):
        if self.name not in KINDS:
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
        found = _FORM.fullmatch(text.strip().lower())
        if not found or (found["l"] and found["late"]):
            raise ConfigError(f"no measure {text!r}: write name, then -l<level>, then @cutoff; {_nearest(text)}")
        if found["k"] and int(found["k"]) == 0:
            raise ConfigError(f"measure {text}: the cutoff must be at least 1; leave @0 out to count all ranks")
        tail = found["tail"]
        return cls(
            found["name"],
            int(found["k"] or 0),
            int(found["l"] or found["late"] or 1),
            float(tail) if tail else None,
        )

    @property
    def kind(self) -> Kind:
        """What the measure is, its gain and whether it takes a cutoff."""
        return KINDS[self.name]

    def __str__(self) -> str:
        persistence = f"{self.persistence:.12g}".removeprefix("0") if self.persistence else ""
        level = f"-l{self.level}" if self.level > 1 else ""
        return f"{self.name}{persistence}{level}{f'@{self.cutoff}' if self.cutoff else ''}"


def measures(texts: str | Measure | Iterable[str | Measure]) -> list[Measure]:
    """Several measures from their texts, each once, in the order given.

    >>> [str(m) for m in measures(["ndcg@10", "mrr", "ndcg@10"])]
    ['ndcg@10', 'mrr']
    """
    several = [texts] if isinstance(texts, (str, Measure)) else texts
    found = list(dict.fromkeys(Measure.parse(text) for text in several))
    if not found:
        raise ConfigError("no measure given; name at least one, such as ndcg@10")
    return found


def _nearest(text: str) -> str:
    name = re.match(r"[a-z_-]*", text.strip().lower())[0].rstrip("_-")  # type: ignore[index]
    return f"did you mean {ELSEWHERE[name]!r}?" if name in ELSEWHERE else suggestion(name, KINDS)
