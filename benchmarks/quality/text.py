"""MedQuAD and SciFact: BM25's best 50 against the same reranked after training; then TREC DL 2021 zero-shot.

    python benchmarks/quality/text.py --data PATH/TO/collections --work /tmp/text

Sized for two CPU cores: a share of MedQuAD's training queries and dev queries, one epoch each. Every training is one
run folder, and what is finished is not done again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MEASURES = ["ndcg@10", "mrr@10"]
#: name -> (training part, dev part, options of the training)
TRAININGS = {
    "medquad": ("medquad/train", "medquad/dev[:40%]", ["--data.max_length=160", "--data.train_epoch_lists=800"]),
    "scifact": ("scifact/train[:80%]", "scifact/train[80%:]", ["--data.max_length=256"]),
}


def ltr(*arguments: str, log: Path) -> None:
    """Run one command of ltr, its output into a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w") as file:
        subprocess.run([sys.executable, "-m", "ltr", *arguments], check=True, cwd=ROOT, stdout=file, stderr=file)


def train(args: argparse.Namespace, name: str) -> Path:
    """Train on a collection unless that is done; the model's folder."""
    train, dev, options = TRAININGS[name]
    folder = Path(args.work, name)
    manifest = folder / "manifest.json"
    if not (manifest.exists() and json.loads(manifest.read_text())["status"] == "finished"):
        ltr(
            "fit", "--config", "configs/recipes/folder.yaml", f"--data.train={args.data}/{train}",
            f"--data.dev={args.data}/{dev}", "--data.sampling.docs_per_list=6", "--model.lr=1e-4", "--model.head_lr=1e-3",
            "--trainer.max_epochs=1", f"--run.folder={folder}", "--run.overwrite=true",
            "--trainer.enable_progress_bar=false", *options, log=Path(args.work, f"{name}.log"),
        )  # fmt: skip
    return folder


def compared(first, reranked, qrels, weight: float | None) -> dict:
    """Both runs (and their interpolation) with intervals and paired tests, printed and as numbers."""
    from ltr.training.run.results import Results

    results = Results.of("dev", first, reranked, weight, qrels, MEASURES)
    print(f"\n{results.text()}", flush=True)
    return results.content()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of the collections")
    parser.add_argument("--work", required=True, help="where run folders go")
    parser.add_argument("--zero-shot", nargs="*", default=[], help="further model folders to try on TREC DL 2021")
    parser.add_argument("--output", default=str(ROOT / "benchmarks" / "results" / "text.json"))
    args = parser.parse_args()
    from ltr.data.candidates.sources import candidates
    from ltr.data.collections.collection import load
    from ltr.io.files import replacing
    from ltr.io.merging import below
    from ltr.io.trec import read_qrels, read_run
    from ltr.settings.texts import ModelSettings
    from ltr.training.run.records import versions

    found: dict = {
        "command": "python benchmarks/quality/text.py",
        "versions": versions(),
        "dev": {},
        "trec-dl-2021": {},
    }
    models = {}
    for name, (_, dev, _) in TRAININGS.items():
        folder = train(args, name)
        models[name] = folder / "best"
        collection = load(f"{args.data}/{dev}")
        first = candidates(collection, "bm25", 50)
        weight = ModelSettings.read(folder / "best").interpolation
        found["dev"][dev] = compared(first, read_run(folder / "dev" / "best.trec"), collection.qrels, weight)
    models |= {Path(path).parent.name or path: Path(path) for path in args.zero_shot}
    dl = f"{args.data}/trec-dl-2021"
    qrels, first = read_qrels(f"{dl}/qrels_full.trec"), read_run(f"{dl}/run.bm25.trec.gz")
    for name, model in models.items():
        output = Path(args.work, f"dl21-{name}.trec")
        if not output.exists():
            ltr(
                "rerank", "--model", str(model), "--run", f"{dl}/run.bm25.trec.gz", "--dataset", dl, "--depth=100",
                f"--output={output}", log=Path(args.work, f"dl21-{name}.log"),
            )  # fmt: skip
        # the weight that the model's own dev queries chose
        weight = ModelSettings.read(model).interpolation
        found["trec-dl-2021"][name] = compared(first, below(read_run(output), first), qrels, weight)
    with replacing(args.output) as file:
        json.dump(found, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
