"""Changing places on lists: what the definition gives, whatever scale a system's scores have, at the level it promises."""

import numpy as np
import pytest

from ltr.io.labelled import LabelledLists
from ltr.metrics.measures.focus import top_share
from ltr.metrics.measures.label_measures import LabelMeasure
from ltr.metrics.statistics.contrasts import contrast
from ltr.metrics.statistics.permutation import Permuted, exchanges, mean_ranks
from ltr.metrics.statistics.pooled import Descending
from ltr.metrics.statistics.pooled_samples import Pooled

RNG = np.random.default_rng(5)
SIZES = [9, 1, 0, 14, 3, 8, 6, 4, 2, 12, 1, 5, 7]
N, LISTS = sum(SIZES), len(SIZES)
LABELS = RNG.integers(0, 12, N) / 2.0  # many ties
TRUTH = LabelledLists([f"l{i}" for i in range(LISTS)], np.cumsum([0, *SIZES]), LABELS, np.expm1(LABELS))
ONE = np.stack([LABELS + RNG.normal(0, 2, N), RNG.integers(0, 5, N).astype(float)])
OTHER = np.stack([LABELS + RNG.integers(-3, 4, N), RNG.normal(0, 1, N)])

ORDERS = ["spearman", "spearman_top.4", "spearman_rest.4", "kendall", "kendall_top.4", "precision_top.2"]
ORDERS += ["precision_top.6", "ndcg_pooled", "ndcg_pooled@1", "ndcg_pooled@10"]
VALUES = ["rmse", "mae", "rmse_top.4", "mae_rest.4"]


def expected(measure: LabelMeasure, first: np.ndarray, second: np.ndarray, flip: np.ndarray) -> float:
    """The definition: rank where only order counts, change places, measure both."""
    seen = np.ones(N, bool)
    if measure.share is not None and measure.name != "precision_top":
        seen = top_share(LABELS, measure.share) ^ (measure.kind.region == "rest")
    if str(measure) in ORDERS:
        from scipy.stats import rankdata

        ranks = [np.stack([np.where(seen, 0.0, p) for p in side]) for side in (first, second)]
        for side, given in zip(ranks, (first, second), strict=True):
            side[:, seen] = [rankdata(p[seen]) for p in given]
        first, second = ranks
    change = np.repeat(flip, SIZES).astype(bool)
    sides = np.where(change, second, first), np.where(change, first, second)
    means = [np.mean([measure.pooled(p, LABELS, TRUTH.gains) for p in side]) for side in sides]
    return means[0] - means[1]


@pytest.mark.parametrize("text", ORDERS + VALUES)
@pytest.mark.parametrize("cells", [1, 2_000_000])
def test_changing_places_measures_both_mixtures_anew(text, cells, monkeypatch):
    monkeypatch.setattr("ltr.metrics.statistics.permutation.CELLS", cells)
    measure = LabelMeasure.parse(text)
    flips = next(exchanges(LISTS, 6, seed=0))
    found = Permuted(measure, ONE, OTHER, TRUTH).differences(flips)
    np.testing.assert_allclose(found, [expected(measure, ONE, OTHER, flip) for flip in flips], atol=1e-12)


def test_what_no_document_can_tell_is_undefined():
    truth = LabelledLists(["a", "b"], [0, 2, 4], np.ones(4))  # no label is below the top share
    found = Permuted(LabelMeasure.parse("rmse_rest.2"), ONE[:, :4], OTHER[:, :4], truth)
    assert np.isnan(found.differences(next(exchanges(2, 9, 0)))).tolist() == [True] * 4
    nothing = LabelledLists(["a", "b"], [0, 2, 4], np.arange(4.0), np.zeros(4))
    found = Permuted(LabelMeasure.parse("ndcg_pooled@2"), ONE[:, :4], OTHER[:, :4], nothing)
    assert found.differences(next(exchanges(2, 9, 0))).tolist() == [0.0] * 4


def test_all_ways_to_change_places_where_they_are_few():
    (flips,) = exchanges(3, 500, seed=0)
    assert sorted(map(tuple, flips.tolist())) == [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    blocks = list(exchanges(40, 2500, seed=0))
    assert [block.shape for block in blocks] == [(1000, 40), (1000, 40), (500, 40)]
    assert set(np.unique(blocks[2])) == {0, 1}
    assert (blocks[0] == next(exchanges(40, 2500, seed=0))).all()
    assert (blocks[0] != next(exchanges(40, 2500, seed=1))).any()


def test_mean_ranks():
    assert mean_ranks(np.array([2.0, -1.0, 2.0, 5.0])).tolist() == [2.5, 1.0, 2.5, 4.0]
    assert Descending(np.array([2.0, -1.0])).ranks(np.ones((1, 2))).tolist() == [[1.0, 2.0]]


CHANGES = {
    "offset": lambda x: x + 5,
    "scale": lambda x: 0.125 * x,
    "standardised": lambda x: (x - x.mean()) / x.std(),
    "exp": np.exp,
    "each seed its own": lambda x: x * np.array([[3.0], [0.5]]) + np.array([[-7.0], [2.0]]),
}


@pytest.mark.parametrize("text", [t for t in ORDERS if t != "kendall_top.4"])
def test_p_of_a_measure_of_order_is_the_same_after_any_increasing_change(text):
    base = Pooled("base", text, ONE, TRUTH)
    plain = contrast(Pooled("ours", text, OTHER, TRUTH), base, resamples=5, permutations=50)
    for name, change in CHANGES.items():
        found = contrast(Pooled("ours", text, change(OTHER), TRUTH), base, resamples=5, permutations=50)
        assert found.p == plain.p, name
        assert found.difference == pytest.approx(plain.difference, abs=1e-12)
        assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=1e-12), name


@pytest.mark.parametrize("text", ["rmse", "mae_top.4"])
def test_p_of_a_measure_of_values_is_that_of_the_values(text):
    base = Pooled("base", text, ONE, TRUTH)
    p = [contrast(Pooled("ours", text, x, TRUTH), base, resamples=20).p["fisher"] for x in (OTHER, OTHER + 5)]
    assert p[0] != p[1]  # five more on every prediction is another error


@pytest.mark.parametrize("unit", [1e-13, 1.0, 1e13])
def test_the_unit_of_labels_does_not_matter(unit):
    """An absolute tolerance would call every exchange as large as a difference of 1e-13."""
    truth = LabelledLists(TRUTH.query_ids, TRUTH.offsets, LABELS * unit)
    a, b = (Pooled(name, "rmse", x * unit, truth) for name, x in (("a", ONE), ("b", OTHER + 5)))
    assert contrast(a, b, resamples=20, permutations=500).p["fisher"] == 1 / 501


def simulated(seed: int, noise: tuple[float, float], lists: int = 30) -> tuple[LabelledLists, np.ndarray, np.ndarray]:
    """Two systems that predict with noise, of documents and of lists; the second says so on a scale of its own."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 7, lists)
    owner = np.repeat(np.arange(lists), sizes)
    labels = rng.gamma(2, 1, len(owner))
    a, b = (labels + sd * (rng.normal(0, 1, len(owner)) + 0.5 * rng.normal(0, 1, lists)[owner]) for sd in noise)
    return LabelledLists([str(i) for i in range(lists)], np.cumsum([0, *sizes]), labels), a[None], np.exp(b[None] / 3)


def p_values(text: str, noise: tuple[float, float], n: int) -> np.ndarray:
    found = []
    for seed in range(n):
        truth, a, b = simulated(seed, noise)
        pair = Pooled("a", text, a, truth), Pooled("b", text, b, truth)
        found.append(contrast(*pair, resamples=2, permutations=99).p["fisher"])
    return np.array(found)


@pytest.mark.parametrize("text", ["spearman", "precision_top.2", "ndcg_pooled@20"])
def test_under_the_null_hypothesis_p_is_uniform(text):
    p = p_values(text, (1.0, 1.0), 100)
    for level in (0.05, 0.2, 0.5):
        error = 3 * np.sqrt(level * (1 - level) / len(p))
        assert (p <= level).mean() <= level + error
        if text != "precision_top.2":  # it has few values, and equal ones count as large
            assert (p <= level).mean() >= level - error


@pytest.mark.parametrize("text", ["spearman", "precision_top.2", "ndcg_pooled@20"])
def test_a_real_difference_is_found(text):
    assert (p_values(text, (0.5, 2.5), 20) <= 0.05).mean() > 0.8
