"""How fast an SVMlight file is read: parsed, and from the cache; against scikit-learn on the same file.

    python benchmarks/speed/letor.py [--lists 1000] [--quick] [--output results.json]

Writes a synthetic file in the form of MSLR-WEB (136 features, lists of about 120 documents) into a temporary folder and
reads it with compiled code, in this process and on one thread. Prints values per second, by the clock and by the
processor's seconds, which tell more on a busy machine. Takes about 1 minute.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import report

FEATURES, DOCS = 136, 120


def write_data(path: Path, n_lists: int, seed: int) -> int:
    """Half of the features are counts, half are scores with six digits; gives the number of values."""
    rng = np.random.default_rng(seed)
    counts = rng.random(FEATURES) < 0.5
    with open(path, "w") as file:
        for query in range(n_lists):
            whole = rng.integers(0, 300, (DOCS, FEATURES))
            broken = rng.gamma(2.0, 5.0, (DOCS, FEATURES))
            for row in range(DOCS):
                values = (
                    f"{i}:{whole[row, i - 1]}" if counts[i - 1] else f"{i}:{broken[row, i - 1]:.6f}"
                    for i in range(1, FEATURES + 1)
                )
                file.write(f"{rng.integers(0, 5)} qid:{query} {' '.join(values)}\n")
    return n_lists * DOCS * FEATURES


def timed(work: Callable[[], Any], n_values: int) -> tuple[dict[str, float], Any]:
    """Seconds and millions of values per second of ``work``, and what it returns."""
    start, busy = time.perf_counter(), time.process_time()
    result = work()
    clock, busy = time.perf_counter() - start, time.process_time() - busy
    figures = {"seconds": clock, "processor seconds": busy, "million values/s": n_values / clock / 1e6}
    return {**figures, "million values/processor second": n_values / busy / 1e6}, result


def main() -> None:
    """Write the file, compile on a small one, read the big one twice, let scikit-learn read it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="20 lists: no figures to keep")
    parser.add_argument("--output", help="write the JSON there instead")
    args = parser.parse_args()
    if args.quick:
        args.lists = 20
    with tempfile.TemporaryDirectory() as folder:
        # compiled code stays in the user's cache, what is read here does not
        from ltr.io.caching.compiled import keep_compiled

        keep_compiled()
        os.environ["LTR_CACHE"] = folder
        from sklearn.datasets import load_svmlight_file

        from ltr.data.features.svmlight import read_svmlight

        small, path = Path(folder, "small.txt"), Path(folder, "train.txt")
        write_data(small, 1, args.seed)
        read_svmlight(small)
        n_values = write_data(path, args.lists, args.seed)
        parsed, table = timed(lambda: read_svmlight(path), n_values)
        cached, _ = timed(lambda: read_svmlight(path).features.sum(), n_values)
        theirs, (matrix, labels, _) = timed(lambda: load_svmlight_file(str(path), query_id=True), n_values)
        if not ((matrix.toarray().astype(np.float32) == table.features).all() and (labels == table.labels).all()):
            raise SystemExit("ltr and scikit-learn read different numbers")
        size = path.stat().st_size / 1e6
    found = {"ltr": parsed, "ltr, from its cache, every value touched": cached, "scikit-learn": theirs}
    rows = [
        {"reader": name, **{key: float(f"{value:.3g}") for key, value in own.items()}} for name, own in found.items()
    ]
    result = {
        "what": f"read {args.lists} lists x {DOCS} documents x {FEATURES} features ({size:.0f} MB of text), one thread; "
        "every value and label is that of scikit-learn",
        "rows": rows,
        "times scikit-learn's speed": round(theirs["seconds"] / parsed["seconds"], 1),
        "seed": args.seed,
        "quick": args.quick,
    }
    print(report.table(rows))
    report.write("letor", result, ("numpy", "numba", "scikit-learn"), args.output)


if __name__ == "__main__":
    main()
