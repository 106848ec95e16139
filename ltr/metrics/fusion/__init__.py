"""Several runs put together to one: ``norms`` of scores, ``methods``, ``fusing``, and ``weights`` chosen on dev."""

from ltr.metrics.fusion.fusing import fuse, interpolate
from ltr.metrics.fusion.methods import METHODS, WEIGHTED
from ltr.metrics.fusion.norms import NORMS, normalised
from ltr.metrics.fusion.weights import best_weight, best_weights

__all__ = ["METHODS", "NORMS", "WEIGHTED", "best_weight", "best_weights", "fuse", "interpolate", "normalised"]
