"""``ltr fuse``: one run from several."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ltr.cli.command import at_least, beside_output, check_outputs
from ltr.cli.command import run as run_command
from ltr.cli.judged import inputs_of, judgements, names_of, read
from ltr.errors import ConfigError

if TYPE_CHECKING:
    from ltr.io.trec import Run

log = logging.getLogger(__name__)


def fuse(
    run: list[str],
    output: str,
    method: str = "rrf",
    norm: Literal["min-max", "max", "sum", "zmuv", "rank", "standard", "none"] = "min-max",
    weights: list[float] | None = None,
    parameter: float | None = None,
    tune: list[str] | None = None,
    dataset: str | None = None,
    qrels: str | None = None,
    measure: str = "ndcg@10",
    top_k: int | None = None,
) -> None:
    """Put several runs together to one.

    By rank:        rrf (the default, needs nothing), isr, log_isr, logn_isr, rbc, bordafuse, w_bordafuse
    By score:       sum, min, max, med, anz, mnz, gmnz
    With weights:   wsum, wmnz, mixed, rrf, w_bordafuse

    Weights are given (--weights), or chosen on other queries: --tune names the same systems' runs on the queries of
    --dataset (or --qrels), which then must not be those that are reported.

    Example: ltr fuse --run test.bm25 test.dense --method wsum --tune dev.bm25 dev.dense --dataset my/dev -o fused.trec

    Args:
        run: TREC run files (.gz too), two or more.
        output: the run to write.
        method: see above; the names are ranx's.
        norm: how scores of different runs are brought to one scale, within each query; methods by rank need none.
            standard does it over all queries at once: --method anz --norm standard averages several teachers.
        weights: one for each run.
        parameter: k of rrf (default 60), gamma of gmnz (0.5), sigma of logn_isr (0.01), phi of rbc (0.8).
        tune: runs to choose the weights on, in the order of --run.
        dataset: where the judgements for --tune are (an ir-datasets id, a folder, pydocs).
        qrels: judgements in TREC form, instead of --dataset.
        measure: what the weights shall make large.
        top_k: write so many documents of each query (default: all that any run holds).
    """
    from ltr.io.trec import write_run
    from ltr.metrics.fusion import best_weights
    from ltr.metrics.fusion import fuse as fused

    at_least(1, top_k=top_k)
    _check(run, weights, tune, dataset, qrels)
    check_outputs({"--output": output}, [*run, *(tune or []), qrels, *inputs_of(dataset)])
    names = names_of(run, "--run")
    runs = [read(path, names[path]) for path in run]
    said = beside_output(output)
    if tune:
        judged, _ = judgements(qrels, dataset)
        tried = names_of(tune, "--tune")
        chosen_on = [read(path, tried[path]) for path in tune]
        _tell_of_shared(runs, chosen_on)
        weights, mean = best_weights(chosen_on, judged, method, norm, measure, None, parameter)
        chosen = ", ".join(f"{weight:.4g} {names[path]}" for weight, path in zip(weights, run, strict=True))
        print(f"weights chosen on {qrels or dataset}: {chosen}  ({measure} {mean:.4f} there)", file=said)
    found = fused(runs, method, norm, weights, parameter)
    if top_k is not None:
        found = found.top(top_k)
    write_run(output, found, tag=method)
    held = sum(len(one.scores) for one in runs) if top_k is None else None
    if held is not None and held < len(runs) * len(found.scores):
        lacking_docs = len(runs) * len(found.scores) - held
        print(
            f"{lacking_docs:,} of {len(runs) * len(found.scores):,} scores are missing: not every run holds every document",
            file=said,
        )
    alone = len(found) - sum(all(query in one for one in runs) for query in found)
    lacking = f"; {alone} of them stand in some of the runs only" if alone else ""
    print(f"{output}: {len(found.scores):,} documents for {len(found):,} queries{lacking}", file=said)


def _tell_of_shared(runs: Sequence[Run], chosen_on: Sequence[Run]) -> None:
    """Warn of queries that weights are chosen on and reported on.

    Equal ids are not enough: those of two collections may be numbers. The same query finds documents that it found before.
    """
    every = list(dict.fromkeys(query for run in runs for query in run))
    shared = [
        query
        for query in every
        if any(
            query in run and query in other and not set(run[query][0]).isdisjoint(other[query][0])
            for run, other in zip(runs, chosen_on, strict=True)
        )
    ]
    if shared:
        log.warning(
            "fuse: %d of the %d queries of --run are those of --tune, on which the weights were chosen (%s): figures on them "
            "are too good; choose weights on other queries",
            *(len(shared), len(every), ", ".join(shared[:3]) + (", …" if len(shared) > 3 else "")),
        )


def _check(
    run: Sequence[str],
    weights: Sequence[float] | None,
    tune: Sequence[str] | None,
    dataset: str | None,
    qrels: str | None,
) -> None:
    """Refuse options that do not fit together before a file is read."""
    if weights is not None and tune is not None:
        raise ConfigError("--weights and --tune both decide the weights; give one of them")
    if tune is not None and len(tune) != len(run):
        raise ConfigError(f"--tune needs a run for each of the {len(run)} of --run, in their order, got {len(tune)}")
    if tune is None and (dataset or qrels):
        raise ConfigError(
            "--dataset and --qrels are judgements to choose weights by; add --tune, the runs to choose on"
        )


def main(argv: Sequence[str]) -> None:
    run_command(fuse, argv, prog="ltr fuse", short={"run": "-r", "output": "-o", "measure": "-m"})
