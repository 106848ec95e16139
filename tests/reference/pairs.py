"""Losses over the pairs of one list as loops over plain numbers, straight from their definitions."""

from math import exp, log, log2


def softplus(z):
    return max(z, 0.0) + log(1 + exp(-abs(z)))


def pairs(labels):
    """(i, j) with a higher label at i."""
    places = range(len(labels))
    return [(i, j) for i in places for j in places if labels[i] > labels[j]]


def mean(costs, weights):
    return sum(c * w for c, w in zip(costs, weights, strict=True)) / sum(weights)


def contrast(f, scores, labels, weigh=lambda i, j: 1.0):
    """Weighted mean of softplus(−(f(s_i) − f(s_j)))."""
    found = pairs(labels)
    return mean([softplus(f(scores[j]) - f(scores[i])) for i, j in found], [weigh(i, j) for i, j in found])


def hinge(margin, scores, labels):
    found = pairs(labels)
    return mean([max(0.0, margin - scores[i] + scores[j]) for i, j in found], [1.0] * len(found))


def difference_matching(primitive, link, scores, targets, weigh=lambda i, j: 1.0):
    """Weighted mean of H(d) − H(t) − (d − t) h(t) for score differences d and target differences t."""
    costs = []
    for i, j in pairs(targets):
        d, t = scores[i] - scores[j], targets[i] - targets[j]
        costs.append(primitive(d) - primitive(t) - (d - t) * link(t))
    return mean(costs, [weigh(i, j) for i, j in pairs(targets)])


def margin_mse(scores, targets):
    n = len(scores)
    squares = [((scores[i] - scores[j]) - (targets[i] - targets[j])) ** 2 for i in range(n) for j in range(i)]
    return sum(squares) / len(squares)


def gains_of(labels, kind):
    return [2.0**y - 1 if kind == "exponential" else y for y in labels]


def ranks_of(scores):
    """Rank of each document, from 1; tied ones in input order."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    return [order.index(i) + 1 for i in range(len(scores))]


def dcg(gains, ranks, cutoff=None):
    return sum(g / log2(1 + r) for g, r in zip(gains, ranks, strict=True) if cutoff is None or r <= cutoff)


def ideal(gains, cutoff=None):
    return dcg(sorted(gains, reverse=True), range(1, len(gains) + 1), cutoff)


def swap_change(gains, ranks, i, j, cutoff):
    """How much nDCG@cutoff changes when i and j swap their ranks, by doing it."""
    swapped = list(ranks)
    swapped[i], swapped[j] = ranks[j], ranks[i]
    return abs(dcg(gains, swapped, cutoff) - dcg(gains, ranks, cutoff)) / ideal(gains, cutoff)


def gap_weight(gains, ranks, i, j, cutoff):
    """(G_i − G_j)(D(|r_i − r_j|) − D(|r_i − r_j| + 1)), for pairs with either document within the cutoff."""
    if cutoff is not None and min(ranks[i], ranks[j]) > cutoff:
        return 0.0
    gap = abs(ranks[i] - ranks[j])
    return abs(gains[i] - gains[j]) / ideal(gains, cutoff) * abs(1 / log2(1 + gap) - 1 / log2(2 + gap))


def lambda_sum(weigh, sigma, scores, labels, kind, cutoff):
    """Sum of weigh(gains, ranks, i, j, cutoff) · softplus(−σ (s_i − s_j)) over pairs of different label."""
    gains, ranks = gains_of(labels, kind), ranks_of(scores)
    return sum(weigh(gains, ranks, i, j, cutoff) * softplus(sigma * (scores[j] - scores[i])) for i, j in pairs(labels))


def ndcg_loss1(sigma, scores, labels, kind, cutoff):
    """Sum over all i ≠ j of G_i D(r_i) · softplus(−σ (s_i − s_j))."""
    gains, ranks = gains_of(labels, kind), ranks_of(scores)
    total = 0.0
    for i in range(len(scores)):
        for j in range(len(scores)):
            if i != j and (cutoff is None or min(ranks[i], ranks[j]) <= cutoff):
                weight = gains[i] / ideal(gains, cutoff) / log2(1 + ranks[i])
                total += weight * softplus(sigma * (scores[j] - scores[i]))
    return total
