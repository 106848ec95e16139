"""Listwise losses of one list as loops over plain numbers, straight from their definitions."""

from math import exp, log


def softmax(values):
    top = max(values)
    total = sum(exp(v - top) for v in values)
    return [exp(v - top) / total for v in values]


def cross_entropy(q, scores):
    return -sum(a * log(p) for a, p in zip(q, softmax(scores), strict=True))


def divergence(q, scores):
    return sum(a * (log(a) - log(p)) for a, p in zip(q, softmax(scores), strict=True) if a > 0)


def normalised(parts):
    return [p / sum(parts) for p in parts]


def listnet(scores, labels):
    return cross_entropy(softmax(labels), scores)


def softmax_ce(scores, labels):
    return cross_entropy(normalised([2**y - 1 for y in labels]), scores)


def kl_distillation(scores, labels, temperature):
    return divergence(softmax([t / temperature for t in labels]), [s / temperature for s in scores])


def info_nce(scores, labels, temperature):
    costs = []
    negatives = sum(exp(s / temperature) for s, y in zip(scores, labels, strict=True) if y == 0)
    for s, y in zip(scores, labels, strict=True):
        if y > 0:
            own = exp(s / temperature)
            costs.append(-log(own / (own + negatives)))
    return sum(costs) / len(costs)


def ideal_order(scores, labels):
    """Places by falling label, and by falling score among equal labels."""
    return sorted(range(len(scores)), key=lambda i: (-labels[i], -scores[i]))


def list_mle(scores, labels):
    left = [scores[i] for i in ideal_order(scores, labels)]
    total = 0.0
    while left:
        total -= log(softmax(left)[0])
        left = left[1:]
    return total


def p_list_mle(scores, labels):
    left = [scores[i] for i in ideal_order(scores, labels)]
    n, total = len(left), 0.0
    for position in range(1, n + 1):
        total -= (2 ** (n - position) - 1) * log(softmax(left)[0])
        left = left[1:]
    return total


def composite_proper(f, q, scores):
    return divergence(q, [f(s) for s in scores])


def composite_matching(f, slope, scores, targets):
    """Bregman divergence of G(s) = log Σ exp f(s): G(ŝ) − G(s) − Σ (ŝ − s) ∂G(s)."""

    def potential(values):
        return log(sum(exp(f(v)) for v in values))

    p = softmax([f(s) for s in targets])
    tangent = sum((a - b) * slope(b) * w for a, b, w in zip(scores, targets, p, strict=True))
    return potential(scores) - potential(targets) - tangent
