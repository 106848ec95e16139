"""Pointwise losses of one list as loops over plain numbers, straight from their definitions."""

from math import exp, log


def mean(values):
    return sum(values) / len(values)


def mse(scores, labels):
    return mean([(a - b) ** 2 for a, b in zip(scores, labels, strict=True)])


def huber(scores, labels, delta):
    costs = []
    for a, b in zip(scores, labels, strict=True):
        error = abs(a - b)
        costs.append(error**2 / 2 if error <= delta else delta * (error - delta / 2))
    return mean(costs)


def bce(scores, labels):
    costs = []
    for s, y in zip(scores, labels, strict=True):
        p = 1 / (1 + exp(-s))
        costs.append(-y * log(p) - (1 - y) * log(1 - p))
    return mean(costs)


def matching(link, scores, targets, steps=20_000):
    """Mean of ∫ from target to score of h(z) − h(target) dz, by the midpoint rule."""
    costs = []
    for a, b in zip(scores, targets, strict=True):
        width = (a - b) / steps
        costs.append(sum(link(b + (k + 0.5) * width) - link(b) for k in range(steps)) * width)
    return mean(costs)
