"""WikiQA: one selective listwise loss against ListNet and LambdaRank, three seeds each, on the given dev split.

    python benchmarks/quality/wikiqa.py --data PATH/TO/wikiqa --work /tmp/wikiqa [--workers 2]

Each training sees 85 % of the training queries; the best of its three epochs is chosen on the other 15 %, and measured
once on dev. A cell (loss, seed) is one run folder: what is finished is not done again.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy import stats

ROOT = Path(__file__).parents[2]
LOSSES = {
    "CompositeSoftmax": ["--config", "configs/loss/composite-softmax.yaml"],
    "ListNet": ["--config", "configs/loss/listnet.yaml"],
    "LambdaRank": ["--config", "configs/loss/lambdarank.yaml"],
}
MEASURES = ["mrr@10", "ndcg@10", "map@100"]


def command(args: argparse.Namespace, loss: str, seed: int) -> list[str]:
    """The training of one cell, as one would type it."""
    held_out = ["--data.train", f"{args.data}/train[:85%]", "--data.dev", f"{args.data}/train[85%:]"]
    judged = [f"--data.{part}_candidates=qrels" for part in ("train", "dev", "test")]
    return [
        "fit", "--config", "configs/recipes/folder.yaml", *LOSSES[loss], *held_out, "--data.test", f"{args.data}/dev",
        *judged, "--model.lr", str(args.lr), "--model.head_lr", str(args.lr * 10), "--model.measures", json.dumps(MEASURES),
        "--data.max_length=128", "--data.lists_per_batch=16", f"--trainer.max_epochs={args.epochs}",
        "--run.monitor=mrr@10", "--run.interpolate=off", f"--seed_everything={seed}",
        f"--run.folder={args.work}/{loss}-{seed}", "--run.overwrite=true", "--trainer.enable_progress_bar=false",
    ]  # fmt: skip


def cell(args: argparse.Namespace, loss: str, seed: int) -> dict[str, float]:
    """Train one cell unless it is done, and measure its dev run."""
    folder = Path(args.work, f"{loss}-{seed}")
    manifest = folder / "manifest.json"
    done = manifest.exists() and json.loads(manifest.read_text())["status"] == "finished"
    if not (done and (folder / "test" / "best.trec").exists()):
        folder.parent.mkdir(parents=True, exist_ok=True)
        threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // args.workers))}
        with open(f"{folder}.log", "w") as log:
            subprocess.run(
                [sys.executable, "-m", "ltr", *command(args, loss, seed)],
                check=True, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **threads},
            )  # fmt: skip
    from ltr.data.collections.collection import load
    from ltr.io.trec import read_run
    from ltr.metrics import evaluate

    means = evaluate(read_run(folder / "test" / "best.trec"), load(f"{args.data}/dev").qrels, MEASURES).means
    record = json.loads(manifest.read_text())
    print(
        f"{loss} seed {seed}: mrr@10 {means['mrr@10']:.4f}, best step {record['best']['step']}, {record['seconds']:.0f} s"
    )
    return {**means, "seconds": record["seconds"], "best_step": record["best"]["step"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of the collection")
    parser.add_argument("--work", required=True, help="where run folders go")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--output", default=str(ROOT / "benchmarks" / "results" / "wikiqa.json"))
    args = parser.parse_args()
    cells = [(loss, seed) for seed in range(args.seeds) for loss in LOSSES]
    with concurrent.futures.ThreadPoolExecutor(args.workers) as pool:
        values = dict(zip(cells, pool.map(lambda c: cell(args, *c), cells), strict=True))
    from ltr.io.files import replacing
    from ltr.training.run.records import versions

    result = {"command": "python benchmarks/quality/wikiqa.py", "lr": args.lr, "versions": versions(), "losses": {}}
    for loss in LOSSES:
        own = [values[loss, seed] for seed in range(args.seeds)]
        result["losses"][loss] = {"cells": own}
        for measure in MEASURES:
            scores = np.array([one[measure] for one in own])
            half = float(stats.t.ppf(0.975, len(scores) - 1) * scores.std(ddof=1) / np.sqrt(len(scores)))
            result["losses"][loss][measure] = {"mean": float(scores.mean()), "interval_95_over_seeds": half}
            print(f"{loss:18} {measure:8} {scores.mean():.4f} ± {half:.4f} (95 % t interval over {args.seeds} seeds)")
    with replacing(args.output) as file:
        json.dump(result, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
