"""Contrasts with a baseline as cells and notes, of runs and of systems over seeds alike: figures, p-values, marks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ltr.metrics.measures.measure import AnyMeasure
from ltr.metrics.statistics.contrasts import Contrast
from ltr.metrics.statistics.p_values import PermutationTest
from ltr.metrics.statistics.permutation import ORDERS
from ltr.report.tables.table import Cell

#: test -> (its mark, its name in notes)
TESTS = {"student": ("†", "Student's paired t-test"), "fisher": ("‡", "Fisher's randomisation test")}
#: the marked chance of error
ALPHA = 0.05


def contrast_columns(tests: Sequence[str], detectable: bool = False) -> list[str]:
    """The headings of ``contrast_cells``."""
    figures = ["difference", "effect d", "wins", "ties", "losses", *(["detectable"] if detectable else [])]
    return [*figures, *(column for t in tests for column in (f"p {t}", f"p {t} (Holm)"))]


def contrast_cells(
    contrast: Contrast, tests: Sequence[str], detectable: bool = False, marked: bool = False
) -> list[Cell | int | float | None]:
    """Difference with interval, effect, wins, ties, losses, and the p-values of tests before and after correction.

    Args:
        contrast: the contrast.
        tests: those that the table shows; a contrast may lack some.
        detectable: whether the smallest detectable difference stands before the p-values.
        marked: whether the difference has the signs of its significance.
    """
    c = contrast
    difference = Cell(c.difference, c.low, c.high, marks(c) if marked else "")
    least = [c.detectable] if detectable else []
    p = [cell for t in tests for cell in p_cells(c, t)]
    return [difference, Cell(c.effect, digits=2), c.wins, c.ties, c.losses, *least, *p]


def marks(contrast: Contrast | None) -> str:
    """Signs of the tests by which a contrast is significant after correction."""
    if contrast is None:
        return ""
    return "".join(TESTS[test][0] for test, p in contrast.adjusted.items() if p < ALPHA)


def significance(contrasts: Sequence[Contrast]) -> list[str]:
    """What the marks mean, of contrasts that were corrected together; nothing where no test was done."""
    tests = list(dict.fromkeys(t for c in contrasts for t in c.adjusted))
    if not tests:
        return []
    baselines = ", ".join(dict.fromkeys(c.baseline for c in contrasts))
    names = ", ".join(f"{TESTS[t][0]} {TESTS[t][1]}" for t in tests)
    n = len(contrasts)
    corrected = f"Holm-corrected over {n} comparisons" if n > 1 else "one comparison"
    return [f"{names}: differs from {baselines}, p < {ALPHA:g}, {corrected}"]


def p_cells(contrast: Contrast, test: str) -> list[Cell | float | None]:
    """The p-value of a test and its corrected value, None where there are none; at the least that could be counted with ≤."""
    bound = test in contrast.counted and contrast.counted[test].bound
    values = (contrast.p.get(test), contrast.adjusted.get(test))
    return [Cell(p, bound=True) if p is not None and bound and p < 1 else p for p in values]


def p_notes(contrasts: Sequence[Contrast]) -> list[str]:
    """What p-values mean: the null hypothesis, how they were counted, the smallest that could come out, what nan is."""
    notes = []
    if counts := [(c.measure, c.counted["fisher"]) for c in contrasts if "fisher" in c.counted]:
        notes += [_hypothesis([measure for measure, _ in counts]), *_counted(counts)]
    if any(math.isnan(p) for c in contrasts for p in c.p.values()):
        notes.append("nan: undefined, such as Student's test of one query or of equal differences; never significant")
    return notes


def _hypothesis(measures: Sequence[AnyMeasure]) -> str:
    pooled = list(dict.fromkeys(m for m in measures if not m.per_query))
    ranks = [str(m) for m in pooled if m.name.partition("_")[0] in ORDERS]
    values = [str(m) for m in pooled if str(m) not in ranks]
    exchanged = [f"predictions ({', '.join(values)})"] if values else []
    exchanged += [f"each seed's pooled ranks ({', '.join(ranks)})"] if ranks else []
    where = f"; of pooled measures on each list, by {' or '.join(exchanged)}" if exchanged else ""
    return f"p fisher: the null hypothesis is that both are exchangeable on each query{where}"


def _counted(counts: Sequence[tuple[AnyMeasure, PermutationTest]]) -> list[str]:
    """How many permutations the p-values were counted over, and so what the least of them can be."""
    groups: dict[int, list[tuple[AnyMeasure, PermutationTest]]] = {}
    for measure, count in counts:
        if count.drawn:
            groups.setdefault(count.most, []).append((measure, count))
    notes = []
    for most, members in sorted(groups.items(), reverse=True):
        drawn = sorted({count.drawn for _, count in members})
        numbers = "" if drawn == [most] else f"{drawn[0]:,} " if len(drawn) == 1 else f"{drawn[0]:,} to {drawn[-1]:,} "
        numbers += f"{'of at most ' if numbers else ''}{most:,}"
        of = f" ({', '.join(dict.fromkeys(str(m) for m, _ in members))})" if len(groups) > 1 else ""
        least = Cell(1 / (1 + most), bound=True)
        after = Cell(min(1.0, len(counts) / (1 + most)), bound=True)
        corrected = f", and the least after Holm's correction {after.shown(4)}" if len(counts) > 1 else ""
        notes.append(
            f"p fisher{of}: (1 + as large) / (1 + drawn), {numbers} random permutations drawn; the least "
            f"p is {least.shown(4)}{corrected}"
        )
    if any(not count.drawn for _, count in counts):
        notes.append("p fisher where few queries (lists) differ: all ways were counted, p is exact")
    return notes
