"""``ltr export``: a trained model on 8-bit integers, for CPUs, or as ONNX, for search engines."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ltr.cli.command import at_least, shell, talk
from ltr.cli.command import run as run_command
from ltr.errors import ConfigError, DataError
from ltr.machine.loudness import shows_bars

if TYPE_CHECKING:
    from ltr.data.tokens.reader import Texts
    from ltr.inference.exports.integers import Check, Tolerance
    from ltr.inference.exports.to_onnx import Parity


def export(
    model: str,
    dataset: str,
    output: str,
    onnx: bool = False,
    run: str = "bm25",
    depth: int = 50,
    calibration: int | None = None,
    queries: int | None = None,
    min_tau: float | None = None,
    max_ndcg_change: float | None = None,
    max_difference: float | None = None,
    max_length: int | None = None,
    seed: int = 0,
) -> None:
    """Write a copy of a trained model on 8-bit integers for fast reranking on a CPU, or, with --onnx, for search engines.

    On 8-bit integers: how each product is quantised is chosen on some queries of the data set. As far as needed, tokens of
    queries stay in bfloat16, then products that change scores most. Then other queries are scored by both models, the
    differences are printed, and nothing is written where they are larger than allowed. The result opens with ltr rerank and
    Reranker.load, and with no other tool.

    With --onnx: onnx/model.onnx in float32, tokenizer.json and configuration, for Vespa, OpenSearch, ONNX Runtime and
    Transformers.js; checked likewise, on some queries' documents.

    Examples:
      ltr export --model runs/demo/best --dataset pydocs/test --output runs/demo/int8
      ltr export --model runs/demo/best --dataset pydocs/test --output runs/demo/onnx --onnx

    Args:
        model: folder (such as runs/demo/best) or hub id of a cross-encoder.
        dataset: an ir-datasets id, pydocs, or a folder: queries and texts like those that will be reranked.
        output: folder to write; only an earlier export is replaced.
        onnx: write ONNX in place of 8-bit integers.
        run: first stage: a TREC run file, bm25, scoreddocs, or the name of a folder's run.
        depth: documents per query; the first stage's best.
        calibration: queries on which the quantisation is chosen (default: 20; not with --onnx).
        queries: most queries on which the result is checked (default: 300, as nDCG@10 needs some hundred to be told to .002;
            with --onnx 10).
        min_tau: least mean Kendall correlation between the scores of a query before and after (default: 0.97; not with --onnx).
        max_ndcg_change: largest change of nDCG@10 over the judged queries (default: 0.002; not checked where none is judged;
            not with --onnx).
        max_difference: with --onnx: largest difference of a score (default: 0.001).
        max_length: tokens of query and document together (default: as the model was trained).
        seed: which queries are taken.
    """
    talk()
    others = {"calibration": calibration, "min_tau": min_tau, "max_ndcg_change": max_ndcg_change}
    wrong = [
        name for name, value in (others if onnx else {"max_difference": max_difference}).items() if value is not None
    ]
    if wrong:
        raise ConfigError(f"--{wrong[0].replace('_', '-')} goes {'only without' if onnx else 'only with'} --onnx")
    if onnx:
        _onnx(model, dataset, output, run, depth, 10 if queries is None else queries, max_difference, max_length, seed)
        return
    from ltr.data.preferences.reader import reader_of
    from ltr.inference.exports.integers import Tolerance, check, opened, quantise
    from ltr.inference.exports.place import check_place
    from ltr.report.cards.export_card import export_card

    calibration, queries = (20 if calibration is None else calibration), (300 if queries is None else queries)
    at_least(1, depth=depth, calibration=calibration, queries=queries)
    tolerance = Tolerance(0.97 if min_tau is None else min_tau, 0.002 if max_ndcg_change is None else max_ndcg_change)
    check_place(output)
    exact = opened(model, max_length)
    check_place(output, exact)
    encoder = reader_of(exact.tokenizer, exact.settings)
    texts, qrels = _texts(dataset, run, depth, calibration, queries, seed)
    encoded = [encoder.batch([one]) for one in texts]
    made = quantise(exact, encoded[:calibration], tolerance, _bar)
    checked = check(made, encoded[calibration:], qrels, _bar)
    print(_table(checked, tolerance))
    figures = _table(checked, tolerance, speed=False)  # which is this machine's, and another one at each export
    facts = {"library_name": "ltr", "pipeline_tag": "text-ranking", "tags": ["ltr", "int8"]}
    usage = ["It runs on CPUs, and opens with `ltr` only:", _PYTHON]
    made.write(
        output, checked, tolerance, export_card(model, output, "A copy on 8-bit integers", facts, figures, usage)
    )
    print(
        f"{output}: written\nnext: ltr rerank {shell('--model', output, '--dataset', dataset, '--run', run)} --output int8.trec"
    )


_PYTHON = '```python\nfrom ltr import Reranker\n\nReranker.load(".").rank("a query", ["a document", "another"])\n```'


def _onnx(
    model: str,
    dataset: str,
    output: str,
    run: str,
    depth: int,
    queries: int,
    max_difference: float | None,
    max_length: int | None,
    seed: int,
) -> None:
    from ltr.inference.exports.integers import opened
    from ltr.inference.exports.place import check_place
    from ltr.inference.exports.to_onnx import FORMAT, GRAPH, OPSET, check_extra, export_onnx
    from ltr.report.cards.export_card import export_card

    at_least(1, depth=depth, queries=queries)
    tolerance = 1e-3 if max_difference is None else max_difference
    check_extra()
    check_place(output, made=GRAPH)
    exact = opened(model, max_length)
    texts, _ = _texts(dataset, run, depth, 0, queries, seed)

    def told(parity: Parity) -> bytes:
        table = _parity(parity, tolerance)
        print(table)
        facts = {"library_name": "transformers.js", "pipeline_tag": "text-ranking", "tags": ["ltr", "onnx"]}
        length = exact.settings.max_length
        usage = [
            f"`{GRAPH}` takes int64 [batch, tokens] of any size up to {length} tokens and gives `logits`, float32 [batch, 1]: "
            f"larger is better. Operators of version {OPSET}, format {FORMAT}."
        ]
        return export_card(model, output, "An ONNX graph in float32", facts, table, usage)

    export_onnx(exact, texts, output, tolerance, told)
    print(f"{output}: written; how engines take it: ltr guide engines")


def _parity(parity: Parity, tolerance: float) -> str:
    lines = [
        f"checked on {parity.queries} queries, {parity.pairs:,} documents, against the model in float32:",
        f"  largest difference of a score      {parity.largest:.1e}   (wanted: at most {tolerance:g}; the scores' standard "
        f"deviation: {parity.spread:.3f})",
        f"  Kendall's tau, mean over queries   {parity.tau:.4f}",
        f"  read alike by tokenizer.json       {parity.read_alike:,} of {parity.pairs:,} pairs",
    ]
    if parity.cut:
        lines.append(f"  with a query that only ltr cuts    {parity.cut:,}")
    return "\n".join(lines)


def _texts(
    dataset: str, run: str, depth: int, calibration: int, queries: int, seed: int
) -> tuple[list[Texts], dict[str, dict[str, int]] | None]:
    """Queries with their candidates, and judgements: first those to calibrate on, then those to check on, judged ones first."""
    from ltr.data.candidates.sources import candidates
    from ltr.data.collections.collection import load
    from ltr.data.tokens.reader import Texts

    collection = load(dataset)
    first = candidates(collection, run, depth, progress=shows_bars()).to_dict()
    names = sorted(first)
    random.Random(seed).shuffle(names)
    if len(names) < 2 * calibration or not names:
        raise DataError(
            f"export: {dataset} has {len(names)} queries with candidates; {calibration} to calibrate on would leave fewer "
            "to check on than that: lower --calibration or take a larger data set; see: ltr guide reranking"
        )
    qrels = collection.qrels if collection.has_qrels else None
    # what is not judged cannot tell nDCG, so it calibrates first
    names.sort(key=lambda query: query in (qrels or {}))
    chosen, others = names[:calibration], names[calibration:][::-1][:queries]
    return [
        Texts(q, collection.queries[q], list(first[q]), collection.texts(list(first[q]))) for q in [*chosen, *others]
    ], qrels


def _table(checked: Check, tolerance: Tolerance, speed: bool = True) -> str:
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
        *([f"  speed                              {checked.speedup:.2f} x"] if speed else []),
        f"  queries in bfloat16                {', '.join(f'layer {i}' for i in range(checked.careful)) or 'nowhere'}",
        f"  kept in bfloat16                   {len(checked.kept)} of {checked.products} products"
        + (f": {', '.join(checked.kept)}" if checked.kept else ""),
    ]
    return "\n".join(lines)


def _bar(values: Iterable, name: str) -> Iterable:
    from tqdm.auto import tqdm

    return tqdm(values, desc=name, disable=not shows_bars())


def main(argv: Sequence[str]) -> None:
    """Entry point of ``ltr export``."""
    run_command(export, argv, prog="ltr export", short={"model": "-m", "output": "-o"})
