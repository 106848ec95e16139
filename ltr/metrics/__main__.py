"""``python -m ltr.metrics`` compiles ranx's kernels, so that no later check against ranx has to wait for it."""

from ltr.metrics.measures.by_ranx import warm_up
from ltr.metrics.measures.measure import KINDS

if __name__ == "__main__":
    warm_up(["rbp.95" if name == "rbp" else name for name in KINDS], background=False)
