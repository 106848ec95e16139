"""The measures by ranx's compiled kernels, as a reference (this is the only file that imports ranx).

Their first use in an installation compiles for two to ten seconds each, importing ranx takes two seconds, and neither
is needed for a table: ``ltr.metrics.measures.vectorised`` measures. What is here tells whether it does so rightly, in the tests
and for anyone who asks for ``evaluate(..., engine="ranx")``.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ltr.errors import ConfigError
from ltr.io.caching.compiled import keep_compiled
from ltr.io.runs import Run
from ltr.metrics.measures.judged_ranks import JudgedRanks
from ltr.metrics.measures.measure import Measure, of_rankings

logger = logging.getLogger(__name__)

#: our measure -> ranx's function
KERNELS = {
    "mrr": "reciprocal_rank",
    "map": "average_precision",
    "r-precision": "r_precision",
    "rbp": "rank_biased_precision",
}
#: array cells (queries x ranks) that one call of a kernel gets
CELLS = 4_000_000
#: seconds after which a first call tells that it is compiling; loading from the cache takes a tenth of that
PATIENCE = 1.5

# numba's threads serve one caller at a time: a second one ends the process
_turn = threading.Lock()
_ready: set[str] = set()


def measured(lists: JudgedRanks, measure: Measure) -> np.ndarray:
    """[queries] float64 values of one measure, as ``ltr.metrics.measures.vectorised.measured`` gives them; 0 without relevant
    documents.
    """
    if measure.own:
        raise ConfigError(f"measure {measure} is a function of your own, which ranx does not know; leave engine out")
    with _turn:
        return _measured(measure, lists)


def warm_up(measures: str | Measure | Iterable[str | Measure], background: bool = True) -> None:
    """Load (on the first use in an installation: compile) ranx's kernels before ``evaluate(..., engine="ranx")``.

    Args:
        measures: those that will be asked for.
        background: return at once and do it in a thread; ``evaluate`` waits for it where it must.
    """
    chosen = of_rankings(measures)
    lists = JudgedRanks.of(Run.from_dict({"q": {"a": 1.0}}), {"q": {"a": 1, "b": 0}})

    def work() -> None:
        with _turn:
            for measure in chosen:
                _measured(measure, lists)

    if background:
        threading.Thread(target=work, name="ltr-measures", daemon=True).start()
    else:
        work()


def _measured(measure: Measure, lists: JudgedRanks) -> np.ndarray:
    values = np.zeros(len(lists.retrieved))
    has = np.flatnonzero(lists.relevant(measure.level))
    for queries, depth in _blocks(measure, lists, has):
        judged, run = arrays(lists, queries, depth)
        asked = measure
        if measure.name == "rbp":  # ranx multiplies by the grade; rank-biased precision is defined on 0 and 1
            judged[..., 1] = np.where(judged[..., 1] >= measure.level, 1.0, 0.0)
            asked = replace(measure, level=1)
        measured = _kernel(asked, judged, run)
        if measure.name == "bpref":
            measured = np.where(
                np.isnan(measured), _kernel(Measure("recall", level=measure.level), judged, run), measured
            )
        values[queries] = measured
    return values


def arrays(lists: JudgedRanks, queries: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """ranx's form, [queries, judged | depth, 2] with (document number, grade): judgements and run.

    Rows are filled up with numbers that match nothing and grades that are neither above nor below any level.
    """
    sizes = np.diff(lists.offsets)[queries]
    row = np.repeat(np.arange(len(queries)), sizes)
    column = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    at = np.repeat(lists.offsets[queries], sizes) + column
    judged = np.empty((len(queries), int(sizes.max()), 2))
    judged[:] = -2, np.nan
    judged[row, column, 0], judged[row, column, 1] = column, lists.grades[at]
    run = np.full((len(queries), depth, 2), -1.0)
    held = (lists.ranks[at] >= 0) & (lists.ranks[at] < depth)
    run[row[held], lists.ranks[at][held], 0] = column[held]
    return judged, run


def _blocks(measure: Measure, lists: JudgedRanks, queries: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Queries of similar length with their depth, so that filling rows up costs little."""
    depths = np.maximum(lists.retrieved[queries], 1)
    if measure.cutoff:
        depths = np.minimum(depths, measure.cutoff)
    # precision over a whole list divides by its length: no filling there
    exact = measure.name in ("precision", "f1") and not measure.cutoff
    order = np.argsort(depths, kind="stable")
    queries, depths = queries[order], depths[order]
    judged = np.diff(lists.offsets)[queries]
    start = 0
    while start < len(queries):
        least = depths[start]
        end = int(np.searchsorted(depths, least if exact else 2 * least, "right"))
        widest = np.maximum(depths[start:end], np.maximum.accumulate(judged[start:end]))
        fits = int(np.searchsorted(widest * np.arange(1, end - start + 1), CELLS, "right"))
        end = start + max(1, fits)
        yield queries[start:end], int(depths[end - 1])
        start = end


def _kernel(measure: Measure, judged: np.ndarray, run: np.ndarray) -> np.ndarray:
    function = getattr(_ranx().metrics, KERNELS.get(measure.name, measure.name))
    setting: Any = measure.persistence if measure.name == "rbp" else measure.cutoff
    if measure.name in _ready:
        return function(judged, run, setting, measure.level)
    timer = threading.Timer(PATIENCE, _tell)
    timer.daemon = True
    timer.start()
    try:
        return function(judged, run, setting, measure.level)
    finally:
        timer.cancel()
        _ready.add(measure.name)


def _tell() -> None:
    if "told" not in _ready:
        _ready.add("told")
        logger.warning("compiling the measures (once per installation, about two seconds each) ...")


def _ranx() -> Any:
    """ranx, with its compiled kernels kept in the user's cache."""
    if "ranx" not in sys.modules:
        keep_compiled()
    import ranx

    return ranx
