"""``python -m ltr.metrics`` compiles all measures, so that no later command has to wait for it."""

from ltr.metrics.engine import warm_up
from ltr.metrics.measure import KINDS

if __name__ == "__main__":
    warm_up(["rbp.95" if name == "rbp" else name for name in KINDS], background=False)
