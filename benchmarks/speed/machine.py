"""What this machine can do at most: matrix products in each precision, memory bandwidth, the price of fresh memory.

    python benchmarks/speed/machine.py [--threads N] [--device cpu] [--seconds 1] [--quick] [--output FILE]

The peak of a precision is the best of repeated square products; how near the products of MiniLM's layers come to it shows
what a model of this width can reach at all. Everything that rerank.py calls "% of the peak" is measured by this file.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from common import report

#: name -> (rows, inner, columns); the rows of the MiniLM shapes are the tokens of a batch
SHAPES = {
    "square 2048": (2048, 2048, 2048),
    "query, key, value of 2048 tokens": (2048, 384, 1152),
    "attention's output of 2048 tokens": (2048, 384, 384),
    "feed-forward up, 2048 tokens": (2048, 384, 1536),
    "feed-forward down, 2048 tokens": (2048, 1536, 384),
    "feed-forward up, 512 tokens": (512, 384, 1536),
}
SQUARE = "square 2048"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}
#: of a block that is filled: large enough to come fresh from the system each time
BLOCK = 64 * 2**20
PAGE = 4096


def timed(work: Callable[[], Any], seconds: float, device: str = "cpu") -> tuple[float, float]:
    """Best and median seconds of ``work``, repeated for so many seconds, and three times at least.

    One thread is timed by the processor's time, which other work on the machine does not move.
    """
    cuda = device.startswith("cuda")
    wait = torch.cuda.synchronize if cuda else lambda: None
    clock = time.process_time if torch.get_num_threads() == 1 and not cuda else time.perf_counter
    work()
    wait()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        start = clock()
        work()
        wait()
        times.append(clock() - start)
    return min(times), statistics.median(times)


def product(
    precision: str, shape: tuple[int, int, int], seconds: float, device: str = "cpu"
) -> tuple[float, float] | None:
    """Best and median GFLOP/s of a matrix product; None where torch has none in this precision.

    Args:
        precision: ``fp32``, ``bf16`` or ``int8`` (products of int8 summed in int32).
        shape: (m, k, n) of an [m, k] by [k, n] product, 2 m k n operations.
        seconds: how long to repeat it.
        device: where.
    """
    m, k, n = shape
    dtype = DTYPES[precision]
    with torch.inference_mode():
        if dtype is torch.int8:
            x, w = (torch.randint(-100, 100, size, dtype=dtype, device=device) for size in ((m, k), (k, n)))
            multiply: Callable[[], Any] = lambda: torch._int_mm(x, w)  # noqa: E731
        else:
            x, w = (torch.randn(size, device=device).to(dtype) for size in ((m, k), (n, k)))
            multiply = lambda: torch.nn.functional.linear(x, w)  # noqa: E731
        try:
            best, median = timed(multiply, seconds, device)
        except RuntimeError:  # such as int8 on a device without
            return None
    return 2 * m * k * n / best / 1e9, 2 * m * k * n / median / 1e9


def peak(precision: str, seconds: float = 0.5, device: str = "cpu", size: int = 2048) -> float | None:
    """GFLOP/s of the best square product in a precision: the peak that shares are taken of."""
    found = product(precision, (size, size, size), seconds, device)
    return found and found[0]


def bandwidth(seconds: float, device: str = "cpu", size: int = BLOCK) -> float:
    """GB/s of copying a block that is larger than the caches, reading and writing counted."""
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    best, _ = timed(lambda: target.copy_(source), seconds, device)
    return 2 * size / best / 1e9


def page_fault(seconds: float, size: int = BLOCK) -> float:
    """Nanoseconds for each fresh page of 4096 bytes: filling new memory against filling the same again."""
    held = torch.empty(size // 4)
    _, again = timed(lambda: held.fill_(1.0), seconds)
    _, fresh = timed(lambda: torch.empty(size // 4).fill_(1.0), seconds)
    return max(0.0, fresh - again) / (size / PAGE) * 1e9


def measure(seconds: float, device: str, scale: int = 1) -> dict[str, Any]:
    """All figures; ``scale`` divides the sizes."""
    rows: list[dict[str, Any]] = []
    peaks: dict[str, float] = {}
    for precision in DTYPES:
        for name, shape in SHAPES.items():
            found = product(precision, tuple(max(16, side // scale) for side in shape), seconds, device)  # type: ignore[arg-type]
            if found is None:
                continue
            if name == SQUARE:
                peaks[precision] = found[0]
            share = 100 * found[1] / peaks[precision]
            figures = {
                "GFLOP/s best": round(found[0], 1),
                "median": round(found[1], 1),
                "% of the peak": round(share, 1),
            }
            rows.append({"precision": precision, "product": name, **figures})
    result = {"products": rows, "peaks": {name: round(value, 1) for name, value in peaks.items()}}
    result["copy_gigabytes_per_second"] = round(bandwidth(seconds, device, BLOCK // scale), 2)
    if device == "cpu":
        result["fresh_page_nanoseconds"] = round(page_fault(seconds, BLOCK // scale), 1)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    parser.add_argument("--quick", action="store_true", help="small sizes and short times: no figures to keep")
    parser.add_argument("--output", help="another file for the JSON")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    seconds, scale = (0.02, 8) if given.quick else (given.seconds, 1)
    result = {
        "what": f"matrix products, memory bandwidth and fresh memory, {given.threads} threads on {given.device}",
        "threads": given.threads,
        "quick": given.quick,
        **measure(seconds, given.device, scale),
    }
    print(report.table(result["products"]))
    print(f"\ncopying: {result['copy_gigabytes_per_second']} GB/s")
    if "fresh_page_nanoseconds" in result:
        print(f"a fresh page of 4096 bytes: {result['fresh_page_nanoseconds']} ns")
    report.write("machine", result, output=given.output)


if __name__ == "__main__":
    main()
