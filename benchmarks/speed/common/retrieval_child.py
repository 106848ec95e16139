"""Steps of retrieval in this process: the time of several ways in turns, or the memory that one gains.

    PYTHONPATH=benchmarks/speed python benchmarks/speed/common/retrieval_child.py '{"part": "losses", "way": "InfoNCE", ...}'

prints ``{"peak_mb": …}``, and for a list of such tasks ``{"ways": [{"ms": …}, …], "versions": …}``. Time is processor time where
one thread works, and the least of several steps; memory is what the process gained since the step's inputs were there.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from common.loss_steps import peak_mb
from common.report import versions
from common.texts import questions

#: a step without arguments; what it returns is told besides
Step = Callable[[], Any]
LOSSES = {
    "InfoNCE": "InfoNCE(0.05)",
    "identity": "CompositeSoftmax(Identity(width=0.05), targets=Positives())",
    "identity + softplus": "CompositeSoftmax(Identity(width=0.05) + Softplus(center=0.7, width=0.05), targets=Positives())",
    "identity + exp": "CompositeSoftmax(Identity(width=0.05) + Exp(center=0.8, width=0.1), targets=Positives())",
    "sigmoid": "CompositeSoftmax(12 * Sigmoid(center=0.3, width=0.1), targets=Positives())",
    "running softplus": "CompositeSoftmax(RunningCenter(Softplus(width=0.1), of='positives'), targets=Positives())",
}


def losses(task: dict[str, Any]) -> Step:
    """Forward and backward of a loss on queries and all documents of a batch."""
    import torch
    from torch.nn.functional import cross_entropy, normalize

    n, docs, dim = task["queries"], task["docs"], task["dim"]
    torch.manual_seed(0)
    q, d = (normalize(torch.randn(rows, dim), dim=-1).requires_grad_() for rows in (n, docs))
    target = torch.arange(n)

    def step() -> None:
        q.grad = d.grad = None
        forward().backward()

    if task["way"] == "torch cross-entropy":
        forward = lambda: cross_entropy(q @ d.T / 0.05, target)  # noqa: E731
        return step
    from ltr import links
    from ltr import losses as kinds
    from ltr.losses.engines.row_blocks import Columns
    from ltr.losses.in_batch import in_batch

    name = task["way"].removesuffix(", dense")
    loss = eval(LOSSES[name], {n: getattr(m, n) for m in (links, kinds) for n in m.__all__})
    none = torch.zeros(n + 1, dtype=torch.int64)
    columns = Columns(docs, torch.arange(n + 1), target, torch.ones(n), none, none[:0])
    if task["way"].endswith(", dense"):
        labels = torch.zeros(n, docs)
        labels[target, target] = 1
        forward = lambda: loss(q @ d.T, labels)  # noqa: E731
    else:
        forward = lambda: in_batch(loss, q, d, columns)[0]  # noqa: E731
    return step


def encode(task: dict[str, Any]) -> Step:
    """Vectors of passages."""
    import numpy as np
    import torch

    docs = [text for asked in questions(task["queries"], task["docs"]) for text in asked.docs]
    if task["way"].startswith("ltr"):
        from ltr.scorers import BiEncoder

        whole = BiEncoder(task["model"]).eval()
        reader = whole.reader(whole.usual_settings())
        scorer: Any = whole.for_scoring(torch.device("cpu"), "bf16" if "bf16" in task["way"] else "32")

        def step() -> Any:
            with torch.inference_mode():
                return scorer.encode_docs(reader.docs(docs)).numpy()
    else:
        model = theirs(task["model"])
        if "bf16" in task["way"]:
            model.bfloat16()

        def step() -> Any:
            return model.encode(docs, batch_size=32, convert_to_tensor=True).float().numpy()

    exact = theirs(task["model"]).encode(docs[:64])

    def near() -> dict[str, float]:
        found = step()[:64]
        cosines = (exact * found).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(found, axis=1)
        return {"cosine": float(cosines.min()), "texts": len(docs)}

    step.facts = near  # type: ignore[attr-defined]
    return step


def train(task: dict[str, Any]) -> Step:
    """A training step without the optimiser: forward and backward of InfoNCE on pairs of a batch."""
    import torch

    asked = questions(task["queries"], 2, "train")
    queries, docs = [one.query for one in asked], [one.docs[one.positive] for one in asked]
    lower = torch.autocast("cpu", torch.bfloat16, enabled="bf16" in task["way"])
    chunk = task.get("chunk")
    if task["way"].startswith("ltr"):
        from ltr.losses import InfoNCE
        from ltr.losses.engines.row_blocks import Columns
        from ltr.losses.in_batch import in_batch
        from ltr.scorers import BiEncoder

        scorer = BiEncoder(task["model"], checkpointing="cached" in task["way"], batch_docs=chunk).train()
        reader = scorer.reader(scorer.usual_settings())
        n = len(queries)
        none = torch.zeros(n + 1, dtype=torch.int64)
        columns, loss = Columns(n, torch.arange(n + 1), torch.arange(n), torch.ones(n), none, none[:0]), InfoNCE(0.05)

        def step() -> None:
            scorer.zero_grad()
            with lower:
                q, d = scorer.encode_queries(reader.queries(queries)), scorer.encode_docs(reader.docs(docs))
            total, count = in_batch(loss, q, d, columns)
            (total / count).backward()

        return step
    from sentence_transformers.sentence_transformer import losses as kinds

    model: Any = theirs(task["model"]).train()
    cached = "cached" in task["way"]
    made: Any = (
        kinds.CachedMultipleNegativesRankingLoss(model, mini_batch_size=chunk or 32)
        if cached
        else kinds.MultipleNegativesRankingLoss(model)
    )

    def other() -> None:
        model.zero_grad()
        with lower:
            made([model.preprocess(queries), model.preprocess(docs)], None).backward()

    return other


def theirs(model: str) -> Any:
    from sentence_transformers import SentenceTransformer

    from ltr.io.model_names import located

    return SentenceTransformer(located(model), device="cpu")


PARTS = {"losses": losses, "encode": encode, "train": train}


def times(tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """Milliseconds of several ways, in turns, so that whatever else the machine does meets all of them alike."""
    import torch

    torch.set_num_threads(tasks[0]["threads"])
    clock = time.process_time if tasks[0]["threads"] == 1 else time.perf_counter
    steps = [PARTS[task["part"]](task) for task in tasks]
    found: list[list[float]] = [[] for _ in steps]
    for step in steps:
        step()
    for _ in range(tasks[0]["steps"]):
        for step, own in zip(steps, found, strict=True):
            start = clock()
            step()
            own.append(clock() - start)
    facts = [step.facts() if hasattr(step, "facts") else {} for step in steps]
    packages = ("torch", "transformers", "sentence-transformers")
    ways = [{"ms": round(1000 * min(own), 2), **more} for own, more in zip(found, facts, strict=True)]
    return {"ways": ways, "versions": versions(packages)}


def memory(task: dict[str, Any]) -> dict[str, Any]:
    """Megabytes that one way gains at its largest."""
    import torch

    torch.set_num_threads(task["threads"])
    step = PARTS[task["part"]](task)
    torch.nn.functional.logsigmoid(torch.zeros(2, requires_grad=True)).sum().backward()  # set up torch
    before = peak_mb(start_anew=True)
    step()
    return {"peak_mb": round(peak_mb() - before, 1)}


def main() -> None:
    given = json.loads(sys.argv[1])
    print(json.dumps(times(given) if isinstance(given, list) else memory(given)))


if __name__ == "__main__":
    main()
