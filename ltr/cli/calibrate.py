"""``ltr calibrate``: scores of a trained model as probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ltr.cli.command import at_least, check_outputs, shell, talk
from ltr.cli.command import run as run_command
from ltr.cli.judged import inputs_of
from ltr.errors import ConfigError, DataError
from ltr.io.ids import shown
from ltr.machine.loudness import shows_bars

if TYPE_CHECKING:
    import numpy as np

    from ltr.inference.calibrating import Calibration
    from ltr.inference.reranker import Reranker


def calibrate(
    model: str,
    dataset: str,
    run: str = "bm25",
    depth: int = 50,
    relevant: int = 1,
    unjudged: Literal["irrelevant", "skip"] = "irrelevant",
    folds: int = 5,
    seed: int = 0,
    plot: str | None = None,
    device: str = "auto",
    precision: Literal["auto", "32", "bf16"] = "auto",
    allow: list[str] | None = None,
    allow_overlap: bool = False,
) -> None:
    """Fit a map from a model's scores to probabilities of relevance, and store it with the model.

    The map increases strictly, so that no ranking changes. Platt's logistic map and the isotonic one are fitted on judged
    queries, each is tried on queries that it was not fitted on, and the better by log loss is stored in the model's
    ltr.json, where ltr rerank --scores probability and Reranker.rank(..., probability=True) find it. Probabilities hold
    for candidates like those that were judged: of the same first stage, to the same depth.

    Example: ltr calibrate --model runs/demo/best --dataset pydocs/dev --plot reliability.svg

    Args:
        model: folder of a cross-encoder, such as runs/demo/best.
        dataset: an ir-datasets id, pydocs/dev, or a folder, with judgements that the model was not trained on.
        run: first stage: a TREC run file, bm25, scoreddocs, qrels, or the name of a folder's run.
        depth: documents per query; the first stage's best.
        relevant: the lowest grade of a relevant document.
        unjudged: what documents without a judgement are taken for; skip leaves them out.
        folds: parts that queries are dealt to, to try each map on others than it was fitted on.
        seed: which queries go to which part.
        plot: draw the reliability diagram of held-out queries to this .svg, .png or .pdf file.
        device: auto, cpu, cuda, cuda:1 ...
        precision: 32 is exact; bf16 is about twice as fast where the hardware has it; auto is bf16 there.
        allow: packages, or classes by their import paths, that the model may name as its scorer; those of ltr it may anyway.
        allow_overlap: fit on queries that the model was trained on, too, of which it is too sure.
    """
    talk()
    at_least(1, depth=depth, relevant=relevant)
    at_least(2, folds=folds)
    check_outputs({"--plot": plot}, [run, model, *inputs_of(dataset)])
    if not Path(model).is_dir():
        raise ConfigError(f"--model must be a folder, where the map can be stored, got {model}")
    from ltr.inference.calibrating import calibrate as fitted
    from ltr.inference.calibrating import store
    from ltr.inference.reranker import Reranker
    from ltr.report.cards.sealed import write_card
    from ltr.training.run.saved_models import card_of, training_of

    reranker = Reranker.load(model, device, precision, allow=allow or ())
    _refuse_learnt(reranker, dataset, allow_overlap)
    scores, hits, queries = _judged(reranker, dataset, run, depth, relevant, unjudged)
    found = fitted(scores, hits, queries, folds, seed)
    count = int(queries[-1]) + 1
    print(_table(found, len(scores), int(hits.sum()), count))
    if plot:
        from ltr.report.charts.reliability import draw_reliability
        from ltr.report.charts.style import save

        names = ("sigmoid", found.kind)
        curves = {f"{n} (error {found.held[n].error:.4f})": found.held[n].groups for n in names}
        print(f"reliability diagram: {save(draw_reliability(curves), plot)}")
    best = found.held[found.kind]
    told = {
        "dataset": dataset,
        "run": run,
        "depth": depth,
        "relevant": relevant,
        "unjudged": unjudged,
        "queries": count,
    }
    told |= {"documents": len(scores), "log_loss": best.log_loss, "calibration_error": best.error}
    store(model, reranker.settings, found, told)
    if manifest := training_of(Path(model)):
        write_card(Path(model), card_of(Path(model), manifest))
    print(
        f"{model}/ltr.json: holds the {found.kind} map\nnext: ltr rerank {shell('--model', model)} --scores probability"
    )


def _refuse_learnt(reranker: Reranker, dataset: str, allowed: bool) -> None:
    """Raise DataError where the model was trained on what it is to be tried on."""
    from ltr.data.collections.collection import load
    from ltr.data.overlap import learnt_queries

    collection = load(dataset)
    learnt = [] if allowed else learnt_queries(collection, reranker.settings.trained_on)
    if learnt:
        raise DataError(
            f"calibrate: the model was trained on {len(learnt):,} of the {len(collection.qrels):,} judged queries of {dataset}, such "
            f"as {shown(learnt[0])}: of these it is surer than of any other, and so would its probabilities be; take a part that "
            "it was not trained on, such as dev, or say --allow-overlap if it is meant"
        )


def _judged(
    reranker: Reranker, dataset: str, run: str, depth: int, relevant: int, unjudged: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(raw score, whether it is relevant, number of the query) of each candidate of the judged queries."""
    import numpy as np

    from ltr.data.candidates.sources import candidates
    from ltr.data.collections.collection import load
    from ltr.data.tokens.pairs import readable

    collection = load(dataset)
    qrels = collection.qrels
    first = candidates(collection, run, depth, progress=shows_bars())
    names = [q for q in first if q in qrels and readable(collection.queries[q]).strip()]
    kept = [[d for d in first[q][0].tolist() if unjudged == "irrelevant" or d in qrels[q]] for q in names]
    if not any(kept):
        raise DataError(f"calibrate: {run} and the judgements of {dataset} share no query with documents")
    texts = [list(map(readable, collection.texts(own))) for own in kept]
    queries = [readable(collection.queries[q]) for q in names]
    ranked = reranker.rank_many(queries, texts, kept, progress=shows_bars(), query_ids=names)
    rows = [(one.score, qrels[names[i]].get(one.id, 0) >= relevant, i) for i, own in enumerate(ranked) for one in own]
    scores, hits, numbers = zip(*rows, strict=True)
    return np.array(scores), np.array(hits), np.array(numbers)


def _table(found: Calibration, documents: int, relevant: int, queries: int) -> str:
    lines = [
        f"{documents:,} documents of {queries:,} queries, {relevant:,} relevant; figures are of queries held out:",
        "            log loss   calibration error",
    ]
    for method, held in found.held.items():
        mark = "   <- stored" if method == found.kind else ""
        lines.append(f"  {method:<9} {held.log_loss:>8.4f}   {held.error:>17.4f}{mark}")
    lines.append("  predicted  found   documents   (groups of equal size, by the stored way to fit)")
    for group in found.held[found.kind].groups:
        lines.append(f"  {group.predicted:>9.4f} {group.observed:>6.4f} {group.count:>11,}")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> None:
    """Entry point of ``ltr calibrate``."""
    run_command(calibrate, argv, prog="ltr calibrate", short={"model": "-m"})
