"""Time and peak memory of the losses over pairs and ranks, forward and backward, each case in a process of its own.

    python benchmarks/speed/losses.py [--losses RankNet ApproxNDCG …] [--sizes 64x10 64x1000 …] [--threads 1] [--output FILE]

Time: the median CPU or wall time of a step after a first one; CPU time with one thread, so that other work on the machine
does not count. Peak: what the process's resident set gained over its size before the first step.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

SIZES = ["64x10", "64x100", "64x1000", "4x4000"]
LOSSES = {
    "Dense": "",  # all pairs at once in plain torch: what RankNet costs without blocks
    "RankNet": "RankNet()",
    "PairwiseHinge": "PairwiseHinge()",
    "MarginMSE": "MarginMSE()",
    "CompositeContrast": "CompositeContrast(Sigmoid())",
    "DifferenceMatching-identity": "DifferenceMatching(Identity())",
    "DifferenceMatching-sigmoid": "DifferenceMatching(Sigmoid())",
    "LambdaRank": "LambdaRank()",
    "NDCG-Loss1": "LambdaLoss('ndcg1')",
    "NDCG-Loss2": "LambdaLoss('ndcg2')",
    "NDCG-Loss2++": "LambdaLoss('ndcg2++')",
    "ApproxNDCG": "ApproxNDCG()",
    "ApproxMRR": "ApproxMRR()",
    "NeuralNDCG": "NeuralNDCG()",
    "ADR-MSE": "ADRMSE()",
}


def dense_ranknet():
    """RankNet with a [lists, docs, docs] tensor for each operation."""
    from torch.nn.functional import logsigmoid

    def loss(scores, labels):
        above = labels[:, :, None] > labels[:, None]
        costs = -logsigmoid(scores[:, :, None] - scores[:, None]) * above
        return (costs.sum((1, 2)) / above.sum((1, 2)).clamp(min=1)).mean()

    return loss


def measure(name: str, lists: int, docs: int, threads: int, seconds: float) -> dict:
    """Steps of one loss in this process."""
    import torch

    from ltr import links, losses

    torch.set_num_threads(threads)
    known = {n: getattr(m, n) for m in (links, losses) for n in m.__all__}
    loss = dense_ranknet() if name == "Dense" else eval(LOSSES[name], known)
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(lists, docs, generator=generator)
    labels = torch.randint(0, 5, (lists, docs), generator=generator).float()
    losses.RankNet()(torch.randn(2, 3, requires_grad=True), torch.tensor([[0.0, 1, 2]] * 2)).backward()  # set up torch
    clock = time.process_time if threads == 1 else time.perf_counter
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times: list[float] = []
    while len(times) < 3 or (sum(times) < seconds and len(times) < 200):
        leaf = scores.clone().requires_grad_()
        start = clock()
        loss(leaf, labels).backward()
        times.append(clock() - start)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"ms": round(1e3 * statistics.median(times[1:]), 3), "peak_mb": round(peak, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), choices=list(LOSSES), metavar="NAME")
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="LISTSxDOCS")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.5, help="of steps for each case (at least three steps)")
    parser.add_argument("--output", help="JSON lines are appended to this file")
    parser.add_argument("--one", nargs=3, metavar=("NAME", "LISTS", "DOCS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        name, lists, docs = given.one
        print(json.dumps(measure(name, int(lists), int(docs), given.threads, given.seconds)))
        return
    print(f"{'loss':<28}{'size':>10}{'ms':>12}{'peak MB':>10}   ({given.threads} thread{'s' * (given.threads > 1)})")
    for size in given.sizes:
        for name in given.losses:
            command = [sys.executable, __file__, "--one", name, *size.split("x")]
            command += ["--threads", str(given.threads), "--seconds", str(given.seconds)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name:<28}{size:>10}   failed: {done.stderr.strip().splitlines()[-1:]}")
                continue
            found = json.loads(done.stdout)
            print(f"{name:<28}{size:>10}{found['ms']:>12.2f}{found['peak_mb']:>10.1f}", flush=True)
            if given.output:
                with open(given.output, "a") as file:
                    file.write(json.dumps({"loss": name, "size": size, "threads": given.threads, **found}) + "\n")


if __name__ == "__main__":
    main()
