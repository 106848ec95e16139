"""One way to measure a TREC run from file, in a process of its own: ``python evaluate_child.py WAY RUN QRELS``.

Prints JSON: seconds of importing, reading and measuring, peak memory, the means by ltr's names. Imports nothing of ltr's
but in ltr's ways, since rivals run in environments of their own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

MEASURES = ["ndcg@10", "mrr@10", "map", "recall@1000", "rbp.95"]

#: (run, judgements, mark) -> means; ``mark`` is called when importing and when reading is done
Way = Callable[[str, str, Callable[[], None]], dict[str, float]]


def ltr(run: str, qrels: str, mark: Callable[[], None]) -> dict[str, float]:
    from ltr.io.trec import read_qrels, read_run
    from ltr.metrics.engine import evaluate

    mark()
    ranking, judgements = read_run(run), read_qrels(qrels)
    mark()
    return evaluate(ranking, judgements, MEASURES).means


def ltr_table(run: str, qrels: str, mark: Callable[[], None]) -> dict[str, float]:
    """The whole command, with intervals and the printed table."""
    from ltr.cli.main import main

    mark()
    mark()
    table = Path(run).parent / "table.json"
    command = ["evaluate", "--run", run, "--qrels", qrels, "--measures", *MEASURES, "--format", "json"]
    if main([*command, "--output", str(table)]):
        raise SystemExit("ltr evaluate failed")
    return {row["measure"]: row["mean"]["value"] for row in json.loads(table.read_text())["rows"]}


def ranx(run: str, qrels: str, mark: Callable[[], None]) -> dict[str, float]:
    from ranx import Qrels, Run, evaluate

    mark()
    judgements, ranking = Qrels.from_file(qrels, kind="trec"), Run.from_file(run, kind="trec")
    mark()
    return {name: float(value) for name, value in evaluate(judgements, ranking, MEASURES).items()}


def pytrec_eval(run: str, qrels: str, mark: Callable[[], None]) -> dict[str, float]:
    """It has no rbp, and mrr without a cutoff only."""
    import pytrec_eval

    mark()
    with open(run) as ranked, open(qrels) as judged:
        ranking, judgements = pytrec_eval.parse_run(ranked), pytrec_eval.parse_qrel(judged)
    mark()
    names = {"ndcg_cut_10": "ndcg@10", "recip_rank": "mrr", "map": "map", "recall_1000": "recall@1000"}
    wanted = {"ndcg_cut.10", "recip_rank", "map", "recall.1000"}
    found = pytrec_eval.RelevanceEvaluator(judgements, wanted).evaluate(ranking)
    return {ours: sum(values[theirs] for values in found.values()) / len(judgements) for theirs, ours in names.items()}


def ir_measures(run: str, qrels: str, mark: Callable[[], None]) -> dict[str, float]:
    """Without rbp, for which it needs another package."""
    import ir_measures as irm

    mark()
    judgements, ranking = list(irm.read_trec_qrels(qrels)), irm.read_trec_run(run)
    mark()  # the run is read while it is measured
    names = {irm.nDCG @ 10: "ndcg@10", irm.RR @ 10: "mrr@10", irm.AP: "map", irm.R @ 1000: "recall@1000"}
    return {names[m]: float(value) for m, value in irm.calc_aggregate(names, judgements, ranking).items()}


WAYS: dict[str, Way] = {f.__name__: f for f in (ltr, ltr_table, ranx, pytrec_eval, ir_measures)}
PACKAGES = {"ltr": "ltr", "ltr_table": "ltr", "pytrec_eval": "pytrec-eval-terrier"}


def main() -> None:
    way, run, qrels = sys.argv[1:]
    times = [time.perf_counter()]
    means = WAYS[way](run, qrels, lambda: times.append(time.perf_counter()))
    times.append(time.perf_counter())
    imported, read, measured = (b - a for a, b in pairwise(times))
    found = {
        "import": imported,
        "read": read,
        "measure": measured,
        "processor": time.process_time(),
        "peak": _peak(),
        "means": means,
        "version": {PACKAGES.get(way, way): version(PACKAGES.get(way, way))},
    }
    print(json.dumps(found))


def _peak() -> float:
    """Gigabytes of memory that the process held at most."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


if __name__ == "__main__":
    main()
