"""What a report page shows: plain values that any command can fill, and that ``render`` turns into one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ltr.errors import ConfigError, DataError, ShapeError
from ltr.io.names import suggestion
from ltr.report.tables.table import Table

if TYPE_CHECKING:
    from ltr.links import Link


@dataclass(frozen=True)
class ForestRow:
    """One system against the baseline.

    Args:
        system: its name.
        difference: mean of (system - baseline) over the queries.
        low: lower end of the interval of the difference.
        high: its upper end.
        p: adjusted p-value; None where no test was done.
    """

    system: str
    difference: float
    low: float
    high: float
    p: float | None = None


@dataclass(frozen=True)
class Forest:
    """Differences to the baseline on one measure, with intervals.

    Args:
        measure: name of the measure.
        baseline: name of the system that the others are compared with.
        rows: one per other system, in the order shown.
        smaller_is_better: for errors: differences below 0 are gains.
        alpha: adjusted p-values below it are marked.
        level: coverage of the intervals; stands in the caption.
    """

    measure: str
    baseline: str
    rows: Sequence[ForestRow] = ()
    smaller_is_better: bool = False
    alpha: float = 0.05
    level: float = 0.95


@dataclass(frozen=True)
class TradePoint:
    """One system in a trade-off plot.

    Args:
        system: its name, in the legend.
        x: its value on the first measure.
        y: on the second.
        x_range: (low, high) of the bar along x; None for no bar.
        y_range: (low, high) of the bar along y; None for no bar.
        label: a few letters beside the point, such as a link's width; none by default.
    """

    system: str
    x: float
    y: float
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    label: str = ""


@dataclass(frozen=True)
class TradeOff:
    """What systems gain in the focus region and pay elsewhere: two measures against each other.

    Args:
        x: name of the measure along x, such as the error outside the focus.
        y: name of the measure along y, such as the error inside it.
        points: the systems.
        x_smaller_is_better: whether smaller values of x are better.
        y_smaller_is_better: whether smaller values of y are better.
        baseline: name of the system that is marked as the baseline; none by default.
        lines: name -> systems to connect in this order, such as one loss over its link widths.
        bars: what the bars are, such as "standard deviation over 5 seeds"; stands in the caption.

    Raises:
        DataError: the baseline or a line names a system that has no point, or two points share a name.
    """

    x: str
    y: str
    points: Sequence[TradePoint] = ()
    x_smaller_is_better: bool = False
    y_smaller_is_better: bool = False
    baseline: str = ""
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    bars: str = ""

    def __post_init__(self):
        names = [point.system for point in self.points]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"trade-off of {self.x} and {self.y}: {twice!r} has two points; give each its own name")
        asked = [(f"line {line!r}", name) for line, systems in self.lines.items() for name in systems]
        for who, name in [*asked, *([("the baseline", self.baseline)] if self.baseline and names else [])]:
            if name not in names:
                raise DataError(
                    f"trade-off of {self.x} and {self.y}: {who}: no point {name!r}; {suggestion(name, names)}"
                )

    @property
    def front(self) -> list[TradePoint]:
        """The Pareto front: points that no other one beats on one measure without losing on the other, by x.

        >>> points = [TradePoint("a", 1, 1), TradePoint("b", 2, 0), TradePoint("c", 1, 0)]
        >>> [p.system for p in TradeOff("x", "y", points).front]
        ['a', 'b']
        """
        signs = (-1 if self.x_smaller_is_better else 1, -1 if self.y_smaller_is_better else 1)
        values = [(signs[0] * p.x, signs[1] * p.y) for p in self.points]
        kept = [
            p
            for p, (x, y) in zip(self.points, values, strict=True)
            if np.isfinite([x, y]).all() and not any(a >= x and b >= y and (a, b) != (x, y) for a, b in values)
        ]
        return sorted(kept, key=lambda p: (p.x, p.y))


@dataclass(frozen=True)
class Curves:
    """Training curves of one measure: each system's seeds, and their mean where they share steps.

    Args:
        measure: name of what is drawn, such as ``dev ndcg@10``.
        systems: system -> one sequence of (step, value) per seed.
        step: name of the horizontal axis.
    """

    measure: str
    systems: Mapping[str, Sequence[Sequence[tuple[float, float]]]] = field(default_factory=dict)
    step: str = "step"


@dataclass(frozen=True)
class Document:
    """A document as a system ranked it for one query.

    Args:
        doc_id: its id.
        score: the system's score.
        label: its judgement or label; None where it has none.
        text: its text; a page shows the beginning.
    """

    doc_id: str
    score: float
    label: float | None = None
    text: str = ""


@dataclass(frozen=True, eq=False)
class Queries:
    """Per-query values of all systems, for the scatter of two of them, with texts where there are some.

    Args:
        query_ids: the queries.
        values: measure -> system -> [queries] values; NaN where there is none. Every measure has the same systems.
        texts: query id -> text, shown beside the point.
        rankings: query id -> system -> its best documents, best first; for the queries whose texts a reader shall see
            (``ltr.report.page.queries.notable`` picks them).
        baseline: the system chosen first; the first one by default.
        smaller_is_better: those of the measures where smaller values are better.

    Raises:
        ShapeError: values that are not one per query.
        DataError: measures with different systems.
        ConfigError: a baseline, or a measure in ``smaller_is_better``, without values.
    """

    query_ids: Sequence[str]
    values: Mapping[str, Mapping[str, Sequence[float] | np.ndarray]]
    texts: Mapping[str, str] = field(default_factory=dict)
    rankings: Mapping[str, Mapping[str, Sequence[Document]]] = field(default_factory=dict)
    baseline: str = ""
    smaller_is_better: Sequence[str] = ()

    def __post_init__(self):
        for measure, systems in self.values.items():
            if list(systems) != self.systems:
                raise DataError(
                    f"queries: {measure} must have the systems of {self.measures[0]}, {self.systems}, got {list(systems)}"
                )
            for system, values in systems.items():
                if np.shape(values) != (len(self.query_ids),):
                    raise ShapeError(
                        f"queries: {measure} of {system!r} needs one value for each of {len(self.query_ids)} queries, "
                        f"got shape {np.shape(values)}"
                    )
        if self.baseline and self.values and self.baseline not in self.systems:
            raise ConfigError(
                f"queries: no system {self.baseline!r} to be the baseline; {suggestion(self.baseline, self.systems)}"
            )
        for measure in self.smaller_is_better:
            if measure not in self.values:
                raise ConfigError(f"queries: no values of measure {measure!r}; {suggestion(measure, self.measures)}")

    @property
    def measures(self) -> list[str]:
        """Names of the measures."""
        return list(self.values)

    @property
    def systems(self) -> list[str]:
        """Names of the systems."""
        return list(next(iter(self.values.values()), {}))


@dataclass(frozen=True)
class LinkPicture:
    """The link of a selective loss, to be drawn.

    Args:
        label: what the reader knows it by, such as the system's name.
        expression: the loss as it prints.
        links: its link or transform; several to be compared in one picture.
        range: (low, high) of the scores shown; what suits the links by default.
    """

    label: str
    expression: str
    links: Sequence[Link]
    range: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Section:
    """All about one data set. What is empty is left out of the page.

    Args:
        name: the data set.
        conventions: how its measures were taken, one line.
        notes: paragraphs of text, such as what won and what it cost.
        tables: with their own titles and notes.
        forests: one per measure.
        tradeoffs: focus against the rest.
        curves: of training, one picture per measure.
        queries: per-query values.
    """

    name: str
    conventions: str = ""
    notes: Sequence[str] = ()
    tables: Sequence[Table] = ()
    forests: Sequence[Forest] = ()
    tradeoffs: Sequence[TradeOff] = ()
    curves: Sequence[Curves] = ()
    queries: Queries | None = None


@dataclass(frozen=True, eq=False)
class Page:
    """A whole report, finished or not.

    Args:
        title: of the page.
        intro: a few sentences; an empty line begins a new paragraph.
        signature: one line that tells which tables can be compared with these: data hash, versions, conventions.
        sections: one per data set.
        links: pictures of the selective losses' links.
        configuration: the whole configuration as YAML.
        missing: what is not finished, one line each; shown on top.
        failures: (what, reason) of what failed.
    """

    title: str
    intro: str = ""
    signature: str = ""
    sections: Sequence[Section] = ()
    links: Sequence[LinkPicture] = ()
    configuration: str = ""
    missing: Sequence[str] = ()
    failures: Sequence[tuple[str, str]] = ()
