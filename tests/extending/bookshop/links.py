"""A link that ltr does not have."""

import math

import torch

from ltr.links import ShapedLink


class Arctan(ShapedLink):
    """h = arctan x: accurate around the center, indifferent far from it."""

    shape_range = (-math.pi / 2, math.pi / 2)
    shape_peaks = (0.0,)

    def shape(self, x):
        return torch.atan(x)

    def shape_slope(self, x):
        return 1 / (1 + x * x)
