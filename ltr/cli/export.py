"""``ltr export``: a trained model on 8-bit integers, for CPUs."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ltr.cli.command import at_least, shell, talk
from ltr.cli.command import run as run_command
from ltr.errors import DataError

if TYPE_CHECKING:
    from ltr.batch import TextLists
    from ltr.data.preferences.reader import PromptReader
    from ltr.data.tokens.reader import TextEncoder
    from ltr.inference.exporting import Check, Tolerance


def export(
    model: str,
    dataset: str,
    output: str,
    run: str = "bm25",
    depth: int = 50,
    calibration: int = 20,
    queries: int = 300,
    min_tau: float = 0.97,
    max_ndcg_change: float = 0.002,
    max_length: int | None = None,
    seed: int = 0,
) -> None:
    """Write a copy of a trained model whose products run on 8-bit integers, for fast reranking on a CPU.

    How each product is quantised is chosen on some queries of the data set. As far as needed, tokens of queries stay in
    bfloat16, then products that change scores most. Then other queries are scored by both models, the differences are
    printed, and nothing is written where they are larger than allowed. The result opens with ltr rerank and
    Reranker.load, and with no other tool.

    Example: ltr export --model runs/demo/best --dataset pydocs/test --output runs/demo/int8

    Args:
        model: folder (such as runs/demo/best) or hub id of a cross-encoder.
        dataset: an ir-datasets id, pydocs, or a folder: queries and texts like those that will be reranked.
        output: folder to write; only an earlier export is replaced.
        run: first stage: a TREC run file, bm25, scoreddocs, or the name of a folder's run.
        depth: documents per query; the first stage's best.
        calibration: queries on which the quantisation is chosen.
        queries: most queries on which it is checked; nDCG@10 needs some hundred to be told to .002.
        min_tau: least mean Kendall correlation between the scores of a query before and after.
        max_ndcg_change: largest change of nDCG@10 over the judged queries; not checked where none is judged.
        max_length: tokens of query and document together (default: as the model was trained).
        seed: which queries are taken.
    """
    from ltr.data.preferences.reader import reader_of
    from ltr.inference.export_place import check_place
    from ltr.inference.exporting import Tolerance, check, opened, quantise

    talk()
    at_least(1, depth=depth, calibration=calibration, queries=queries)
    tolerance = Tolerance(min_tau, max_ndcg_change)
    check_place(output)
    exact = opened(model, max_length)
    check_place(output, exact)
    encoder = reader_of(exact.tokenizer, exact.settings)
    chosen, others, qrels = _lists(encoder, dataset, run, depth, calibration, queries, seed)
    made = quantise(exact, chosen, tolerance, _bar)
    checked = check(made, others, qrels, _bar)
    print(_table(checked, tolerance))
    made.write(output, checked, tolerance)
    print(
        f"{output}: written\nnext: ltr rerank {shell('--model', output, '--dataset', dataset, '--run', run)} --output int8.trec"
    )


def _lists(
    encoder: TextEncoder | PromptReader, dataset: str, run: str, depth: int, calibration: int, queries: int, seed: int
) -> tuple[list[TextLists], list[TextLists], dict[str, dict[str, int]] | None]:
    """Batches to calibrate on, batches to check on (of judged queries first), and judgements."""
    from ltr.data.candidates.sources import candidates
    from ltr.data.collections.collection import load
    from ltr.data.tokens.reader import Texts

    collection = load(dataset)
    first = candidates(collection, run, depth, progress=sys.stderr.isatty()).to_dict()
    names = sorted(first)
    random.Random(seed).shuffle(names)
    if len(names) < 2 * calibration:
        raise DataError(
            f"export: {dataset} has {len(names)} queries with candidates; {calibration} to calibrate on would leave fewer "
            "to check on than that: lower --calibration or take a larger data set; see: ltr guide reranking"
        )
    qrels = collection.qrels if collection.has_qrels else None
    # what is not judged cannot tell nDCG, so it calibrates first
    names.sort(key=lambda query: query in (qrels or {}))
    chosen, others = names[:calibration], names[calibration:][::-1][:queries]

    def encoded(part: list[str]) -> list[TextLists]:
        texts = (Texts(q, collection.queries[q], list(first[q]), collection.texts(list(first[q]))) for q in part)
        return [encoder.batch([one]) for one in texts]

    return encoded(chosen), encoded(others), qrels


def _table(checked: Check, tolerance: Tolerance) -> str:
    lines = [
        f"checked on {checked.queries} other queries, {checked.docs:,} documents, against the model in float32:",
        f"  Kendall's tau, mean over queries   {checked.tau:.4f}   (wanted: at least {tolerance.min_tau})",
    ]
    if checked.ndcg is None or checked.exact_ndcg is None:
        lines.append("  nDCG@10                            not checked: none of these queries is judged")
    else:
        lines.append(
            f"  nDCG@10 of {checked.judged:<5,} judged           {checked.exact_ndcg:.4f} -> {checked.ndcg:.4f}   (wanted: a change "
            f"of at most {tolerance.max_ndcg_change})"
        )
    lines += [
        f"  largest difference of a score      {checked.largest:.3f}   (the scores' standard deviation: {checked.spread:.3f})",
        f"  speed                              {checked.speedup:.2f} x",
        f"  queries in bfloat16                {', '.join(f'layer {i}' for i in range(checked.careful)) or 'nowhere'}",
        f"  kept in bfloat16                   {len(checked.kept)} of {checked.products} products"
        + (f": {', '.join(checked.kept)}" if checked.kept else ""),
    ]
    return "\n".join(lines)


def _bar(values: Iterable, name: str) -> Iterable:
    from tqdm.auto import tqdm

    return tqdm(values, desc=name)


def main(argv: Sequence[str]) -> None:
    """Entry point of ``ltr export``."""
    run_command(export, argv, prog="ltr export", short={"model": "-m", "output": "-o"})
