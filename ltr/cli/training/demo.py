"""``ltr demo``: the whole path on the embedded data set."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ltr.cli.command import run
from ltr.io.recipes import recipe

#: how many first-stage documents a query has; recall at this depth is the ceiling of any reranker
DEPTH = 50
MEASURES = ["ndcg@10", "mrr@10", f"recall@{DEPTH}"]


def demo(*, folder: str = "runs/demo", epochs: int = 1, overwrite: bool = True) -> None:
    """Train, measure and use a reranker on pydocs: search over the documentation of the installed Python.

    Builds the collection, retrieves candidates with BM25, trains a cross-encoder with a selective listwise loss after
    the recipe pydocs.yaml, reranks the test queries and prints one table. Takes some minutes on two cores; how many on
    this machine is said once the first steps have been measured.

    Args:
        folder: run folder of the training.
        epochs: passes over the training queries.
        overwrite: replace an earlier demo in the folder.
    """
    clock = Clock()
    from ltr.cli.training import fit as fitting

    arguments = ["--config", str(recipe("pydocs")), f"--run.folder={folder}", f"--trainer.max_epochs={epochs}"]
    cli = fitting.build([*arguments, f"--run.overwrite={str(overwrite).lower()}"])
    cli.run_folder.claim()
    from ltr.data.candidates.sources import candidates
    from ltr.data.collections.collection import load
    from ltr.inference.scoring import score_run
    from ltr.io.merging import below
    from ltr.training.fitting import fit

    clock.says("1/4  collection, BM25 candidates, tokens")
    data = cli.datamodule
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    first = candidates(load(data.test), "bm25", DEPTH)

    clock.says("2/4  reranking the test queries with the untrained model")
    began = clock.seconds
    untrained = score_run(cli.model.scorer, data.test_dataloader(), name="untrained", progress="untrained")
    testing = clock.seconds - began
    dev = data.part("dev").first
    assert dev is not None
    cli.progress.validation_seconds = testing * dev.offsets[-1] / untrained.offsets[-1]

    def estimated(left: float) -> None:
        cli.model.print(clock.line(whole_time(clock.seconds + left + testing)))  # which knows how to print beside a bar
        sys.stdout.flush()

    cli.progress.estimated = estimated

    clock.says("3/4  training, then reranking dev and test")
    results = fit(cli.trainer, cli.model, data, cli.run_folder)[-1]

    clock.says("4/4  the test queries, measured")
    named = [results.runs[0], untrained, *results.runs[1:]]
    # documents below the reranked ones keep the first stage's order
    text = results.text([below(one, first) for one in named], MEASURES, title=data.test)
    print(f"\n{text}\n")
    print(f"recall@{DEPTH} of the first stage is the most that any reranking of it can reach")
    best = Path(folder, "best")
    print(f"done in {clock}; the model is in {best}; ask it something:\n")
    print(f'  ltr rerank --model {best} --query "join two paths" --dataset pydocs --interpolate\n')


class Clock:
    """Elapsed time since the start of the command."""

    def __init__(self) -> None:
        self.start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def __str__(self) -> str:
        seconds = int(self.seconds)
        return f"{seconds // 60}:{seconds % 60:02d} min"

    def line(self, what: str) -> str:
        return f"[{self}] {what}"

    def says(self, what: str) -> None:
        print(self.line(what), flush=True)


def whole_time(seconds: float) -> str:
    """What the measured steps say of the whole demo.

    >>> whole_time(355), whole_time(12)
    ('about 6 minutes in all on this machine', 'about a minute in all on this machine')
    """
    minutes = round(seconds / 60)
    return f"about {'a minute' if minutes <= 1 else f'{minutes} minutes'} in all on this machine"


def main(argv: list[str]) -> None:
    run(demo, argv, prog="ltr demo")
