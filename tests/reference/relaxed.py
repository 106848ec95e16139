"""Relaxed metrics of one list as loops over plain numbers, straight from their definitions."""

from math import exp, log2

from tests.reference.pairs import gains_of, ideal


def sigmoid(z):
    return 1 / (1 + exp(-z)) if z > 0 else exp(z) / (1 + exp(z))


def soft_ranks(scores, temperature):
    return [
        1 + sum(sigmoid((other - own) / temperature) for k, other in enumerate(scores) if k != i)
        for i, own in enumerate(scores)
    ]


def approx_ndcg(scores, labels, temperature, kind):
    gains = gains_of(labels, kind)
    paid = [g / log2(1 + r) for g, r in zip(gains, soft_ranks(scores, temperature), strict=True)]
    return 1 - sum(paid) / ideal(gains)


def approx_mrr(scores, labels, temperature):
    return 1 - 1 / min(r for r, y in zip(soft_ranks(scores, temperature), labels, strict=True) if y > 0)


def adr_mse(scores, labels, temperature):
    total = 0.0
    for rank, own in zip(soft_ranks(scores, temperature), labels, strict=True):
        above = sum(other > own for other in labels)
        tied = sum(other == own for other in labels)
        wanted = above + (1 + tied) / 2
        total += (rank - wanted) ** 2 / log2(1 + wanted)
    return total / len(labels)


def relaxed_permutation(scores, temperature, steps):
    """Rows are ranks, columns documents."""
    n = len(scores)
    spread = [sum(abs(s - t) for t in scores) for s in scores]
    rows = []
    for i in range(1, n + 1):
        logits = [((n + 1 - 2 * i) * s - a) / temperature for s, a in zip(scores, spread, strict=True)]
        parts = [exp(z - max(logits)) for z in logits]
        rows.append([p / sum(parts) for p in parts])
    for _ in range(steps):
        columns = [sum(row[j] for row in rows) for j in range(n)]
        rows = [[p / c for p, c in zip(row, columns, strict=True)] for row in rows]
        rows = [[p / sum(row) for p in row] for row in rows]
    return rows


def neural_ndcg(scores, labels, temperature, steps, kind, cutoff):
    gains = gains_of(labels, kind)
    total = 0.0
    for i, row in enumerate(relaxed_permutation(scores, temperature, steps), 1):
        if cutoff is None or i <= cutoff:
            total += sum(p * g for p, g in zip(row, gains, strict=True)) / log2(1 + i)
    return 1 - total / ideal(gains, cutoff)
