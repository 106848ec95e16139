"""One loss of one library at one size: time and memory of forward and backward steps in this process; runs without `ltr`.

    PYTHONPATH=benchmarks/speed python benchmarks/speed/common/loss_steps.py LIBRARY LOSS LISTS DOCS [--threads 1] [--seconds 0.5]

prints ``{"ms": …, "peak_mb": …, "versions": …}``. ``LIBRARIES`` says which losses each library has; each is called as its own training
loop does, with a fake model that hands out the scores where it wants one. Settings are those of each library.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import resource
import statistics
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.report import versions

#: loss -> how a library calls it
LTR = {
    "RankNet": "RankNet()",
    "PairwiseHinge": "PairwiseHinge()",
    "CompositeContrast": "CompositeContrast(Sigmoid())",
    "MarginMSE": "MarginMSE()",
    "DifferenceMatching identity": "DifferenceMatching(Identity())",
    "DifferenceMatching sigmoid": "DifferenceMatching(Sigmoid())",
    "DifferenceMatching asinh": "DifferenceMatching(Asinh())",
    "DifferenceMatching exp": "DifferenceMatching(Exp())",
    "DifferenceMatching sinh": "DifferenceMatching(Sinh())",
    "DifferenceMatching softplus": "DifferenceMatching(Softplus())",
    "DifferenceMatching piecewise": "DifferenceMatching(Piecewise([0, 1], [0.1, 1, 0.1]))",
    "LambdaRank": "LambdaRank()",
    "NDCG-Loss1": "LambdaLoss('ndcg1')",
    "NDCG-Loss2": "LambdaLoss('ndcg2')",
    "NDCG-Loss2++": "LambdaLoss('ndcg2++')",
    "ApproxNDCG": "ApproxNDCG()",
    "ApproxMRR": "ApproxMRR()",
    "ADR-MSE": "ADRMSE()",
    "NeuralNDCG": "NeuralNDCG()",
}
ALLRANK = {
    "RankNet": ("rankNet", "rankNet", {}),
    "LambdaRank": ("lambdaLoss", "lambdaLoss", {"weighing_scheme": "lambdaRank_scheme"}),
    "NDCG-Loss1": ("lambdaLoss", "lambdaLoss", {"weighing_scheme": "ndcgLoss1_scheme"}),
    "NDCG-Loss2": ("lambdaLoss", "lambdaLoss", {"weighing_scheme": "ndcgLoss2_scheme"}),
    "NDCG-Loss2++": ("lambdaLoss", "lambdaLoss", {"weighing_scheme": "ndcgLoss2PP_scheme"}),
    "ApproxNDCG": ("approxNDCG", "approxNDCGLoss", {}),
    "NeuralNDCG": ("neuralNDCG", "neuralNDCG", {}),
}
SENTENCE_TRANSFORMERS: dict[str, tuple[str, Any]] = {
    "RankNet": ("RankNetLoss", None),
    "LambdaRank": ("LambdaLoss", "LambdaRankScheme"),
    "NDCG-Loss1": ("LambdaLoss", "NDCGLoss1Scheme"),
    "NDCG-Loss2": ("LambdaLoss", "NDCGLoss2Scheme"),
    "NDCG-Loss2++": ("LambdaLoss", "NDCGLoss2PPScheme"),
    "ADR-MSE": ("ADRMSELoss", None),
}
LIGHTNING_IR = {"RankNet": "RankNet", "ApproxNDCG": "ApproxNDCG", "ApproxMRR": "ApproxMRR", "ADR-MSE": "ApproxRankMSE"}
PT_RANKING: dict[str, tuple[str, str, dict[str, Any]]] = {
    "RankNet": ("pairwise.ranknet", "RankNet", {"sigma": 1.0}),
    "LambdaRank": ("listwise.lambdarank", "LambdaRank", {"sigma": 1.0}),
    "NDCG-Loss2": ("listwise.lambdaloss", "LambdaLoss", {"k": None, "sigma": 1.0, "loss_type": "NDCG_Loss2"}),
    "NDCG-Loss2++": (
        "listwise.lambdaloss",
        "LambdaLoss",
        {"k": None, "sigma": 1.0, "loss_type": "NDCG_Loss2++", "mu": 5.0},
    ),
    "ApproxNDCG": ("listwise.approxNDCG", "ApproxNDCG", {"alpha": 10}),
}
RAX = {
    "RankNet": "",
    "LambdaRank": "dcg_lambdaweight",
    "NDCG-Loss2": "dcg2_lambdaweight",
    "ApproxNDCG": "ndcg_metric",
}
DENSE = ("RankNet", "LambdaRank", "ApproxNDCG")

#: a step: scores that want a gradient and labels -> forward and backward
Step = Callable[[Any, Any], object]


def ltr(name: str) -> Step:
    from ltr import links, losses

    loss = eval(LTR[name], {n: getattr(m, n) for m in (links, losses) for n in m.__all__})
    return lambda scores, labels: loss(scores, labels).backward()


def dense(name: str) -> Step:
    """All pairs at once, [lists, docs, docs] for each operation, without any check: as short as plain torch allows."""
    import torch
    from torch.nn.functional import logsigmoid

    def lambda_weights(scores, labels):
        gains = torch.exp2(labels) - 1
        share = torch.log2(2 + torch.arange(scores.shape[1], device=scores.device)).reciprocal()
        best = (gains.sort(descending=True).values * share).sum(1, keepdim=True).clamp(min=1e-9)
        paid = share[scores.argsort(descending=True).argsort()]
        gains = gains / best
        return ((gains[:, :, None] - gains[:, None]) * (paid[:, :, None] - paid[:, None])).abs(), gains

    def ranknet(scores, labels):
        above = labels[:, :, None] > labels[:, None]
        costs = -logsigmoid(scores[:, :, None] - scores[:, None]) * above
        return (costs.sum((1, 2)) / above.sum((1, 2)).clamp(min=1)).mean()

    def lambdarank(scores, labels):
        with torch.no_grad():
            weights = lambda_weights(scores, labels)[0] * (labels[:, :, None] > labels[:, None])
        return -(logsigmoid(scores[:, :, None] - scores[:, None]) * weights).sum((1, 2)).mean()

    def approx(scores, labels):
        ranks = ((scores[:, None] - scores[:, :, None]) / 0.1).sigmoid().sum(2) + 0.5
        with torch.no_grad():
            gains = lambda_weights(scores, labels)[1]
        return (1 - (gains / torch.log2(1 + ranks)).sum(1)).mean()

    loss = {"RankNet": ranknet, "LambdaRank": lambdarank, "ApproxNDCG": approx}[name]
    return lambda scores, labels: loss(scores, labels).backward()


def allrank(name: str) -> Step:
    from common.rivals import ALLRANK_ABSENT, stand_in

    stand_in(*ALLRANK_ABSENT)
    module, function, settings = ALLRANK[name]
    loss = getattr(importlib.import_module(f"allrank.models.losses.{module}"), function)
    return lambda scores, labels: loss(scores, labels, **settings).backward()


def sentence_transformers(name: str) -> Step:
    import torch
    from sentence_transformers.cross_encoder import losses

    class Handed(torch.nn.Module):
        """Stands for a cross-encoder: hands out the scores."""

        scores: torch.Tensor
        num_labels, device = 1, torch.device("cpu")

        def preprocess(self, pairs, **kwargs):
            return {"none": torch.zeros(1)}

        def forward(self, inputs):
            return {"scores": self.scores.reshape(-1)}

    kind, scheme = SENTENCE_TRANSFORMERS[name]
    settings = {"weighting_scheme": getattr(losses, scheme)()} if scheme else {}
    model: Any = Handed()
    loss = getattr(losses, kind)(model, mini_batch_size=-1, **settings)

    def step(scores, labels):
        model.scores = scores
        texts = ["q"] * len(scores), [["d"] * scores.shape[1]] * len(scores)
        loss(texts, list(labels)).backward()

    return step


def lightning_ir(name: str) -> Step:
    import lightning_ir
    from lightning_ir.base import LightningIROutput

    loss = getattr(lightning_ir, LIGHTNING_IR[name])()
    return lambda scores, labels: loss.compute_loss(
        LightningIROutput(scores=scores), types.SimpleNamespace(targets=labels)
    ).backward()


def pt_ranking(name: str) -> Step:
    from ptranking.data.data_utils import LABEL_TYPE

    module, kind, settings = PT_RANKING[name]
    ranker = object.__new__(getattr(importlib.import_module(f"ptranking.ltr_adhoc.{module}"), kind))
    optimizer = types.SimpleNamespace(zero_grad=lambda: None, step=lambda: None)
    ranker.__dict__.update(optimizer=optimizer, device="cpu", gpu=False, **settings)
    # the name of the same method in old and new versions
    train = getattr(ranker, "custom_loss_function", None) or ranker.inner_train

    def step(scores, labels):
        labels, order = labels.sort(1, descending=True)  # as it wants them
        train(scores.gather(1, order), labels, label_type=LABEL_TYPE.MultiLabel, presort=True)

    return step


def rax(name: str) -> Step:
    import jax

    if not hasattr(jax, "util"):  # moved since rax was written
        import jax._src.util as moved

        jax.util = types.SimpleNamespace(wraps=moved.wraps)
    import rax

    if name == "ApproxNDCG":
        loss = rax.approx_t12n(rax.ndcg_metric)
    else:
        weigh = getattr(rax, RAX[name]) if RAX[name] else None

        def loss(scores, labels):
            return rax.pairwise_logistic_loss(scores, labels, lambdaweight_fn=weigh)

    compiled = jax.jit(jax.value_and_grad(loss))
    return lambda scores, labels: jax.block_until_ready(compiled(scores, labels))


#: library -> (losses it has, what makes a step of one)
LIBRARIES: dict[str, tuple[Any, Callable[[str], Step]]] = {
    "ltr": (LTR, ltr),
    "dense torch": (DENSE, dense),
    "allrank": (ALLRANK, allrank),
    "sentence-transformers": (SENTENCE_TRANSFORMERS, sentence_transformers),
    "lightning-ir": (LIGHTNING_IR, lightning_ir),
    "ptranking": (PT_RANKING, pt_ranking),
    "rax": (RAX, rax),
}


def measure(library: str, name: str, lists: int, docs: int, threads: int, seconds: float) -> dict[str, Any]:
    """The median time of a step after the first one, and what the process's resident set gained at most.

    With one thread processor time counts, so that other work on the machine does not.
    """
    import torch

    torch.set_num_threads(threads)
    step = LIBRARIES[library][1](name)
    generator = torch.Generator().manual_seed(0)
    scores, labels = torch.randn(lists, docs, generator=generator), torch.randint(0, 5, (lists, docs)).float()
    torch.nn.functional.logsigmoid(torch.zeros(2, requires_grad=True)).sum().backward()  # set up torch
    if library == "rax":
        given: list[Any] = [scores.numpy(), labels.numpy()]
    clock = time.process_time if threads == 1 else time.perf_counter
    before = peak_mb(start_anew=True)
    times: list[float] = []
    while len(times) < 3 or (sum(times) < seconds and len(times) < 500):
        if library != "rax":
            given = [scores.clone().requires_grad_(), labels]
        start = clock()
        step(*given)
        times.append(clock() - start)
    peak = peak_mb() - before
    installed = versions([library, "torch", "jax"])
    return {"ms": round(1e3 * statistics.median(times[1:]), 4), "peak_mb": round(peak, 1), "versions": installed}


def peak_mb(start_anew: bool = False) -> float:
    """The largest resident set of this process so far, in MB; counted from now on where Linux can."""
    if start_anew:
        # elsewhere the peak counts from the start of the process: what was loaded hides small losses
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=list(LIBRARIES))
    parser.add_argument("loss")
    parser.add_argument("lists", type=int)
    parser.add_argument("docs", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.5, help="of steps (at least three steps)")
    given = parser.parse_args()
    print(json.dumps(measure(given.library, given.loss, given.lists, given.docs, given.threads, given.seconds)))


if __name__ == "__main__":
    main()
