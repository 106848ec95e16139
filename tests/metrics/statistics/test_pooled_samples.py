"""Systems measured by pooled documents: lists resampled and swapped whole, against scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from ltr.io.labelled import LabelledLists
from ltr.metrics.measures.labels import evaluate_labels
from ltr.metrics.statistics.contrasts import contrast
from ltr.metrics.statistics.p_values import fisher
from ltr.metrics.statistics.pooled import Resampled
from ltr.metrics.statistics.pooled_samples import Pooled, draw_together, sample
from ltr.metrics.statistics.samples import PerQuery, detectable
from ltr.metrics.statistics.seeds import summarise

RNG = np.random.default_rng(2)
SIZES = RNG.integers(3, 9, 25)
LABELS = RNG.gamma(2.0, 1.0, SIZES.sum())
TRUTH = LabelledLists([f"l{i}" for i in range(25)], np.cumsum([0, *SIZES]), LABELS)
GOOD = np.stack([LABELS + RNG.normal(0, 0.5, len(LABELS)) for _ in range(3)])
POOR = np.stack([LABELS + RNG.normal(0, 1.0, len(LABELS)) for _ in range(3)])


def pooled(predictions, system="good", measure="rmse", truth=TRUTH):
    return Pooled(system, measure, predictions, truth, "toy")


@pytest.mark.parametrize("text", ["rmse", "rmse_top.2", "spearman", "kendall", "precision_top.2", "ndcg_pooled@20"])
def test_pooled_means_are_means_of_the_seeds_values(text):
    found = summarise(pooled(GOOD, measure=text))
    each = [evaluate_labels(p, TRUTH, text)[text] for p in GOOD]
    assert found.mean == pytest.approx(np.mean(each))
    assert found.seed_sd == pytest.approx(np.std(each, ddof=1))
    assert found.low < found.mean < found.high
    assert (found.n_seeds, found.n_queries) == (3, 25)


def test_lists_are_resampled_whole():
    # the statistic of whole lists, by scipy on list numbers
    offsets = TRUTH.offsets

    def statistic(lists):
        at = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in lists.astype(int)])
        return np.mean([np.sqrt(np.mean((p[at] - LABELS[at]) ** 2)) for p in GOOD])

    expected = stats.bootstrap(
        (np.arange(25.0),),
        statistic,
        vectorized=False,
        method="percentile",
        n_resamples=3000,
        rng=np.random.default_rng(0),
    )
    found = summarise(pooled(GOOD))
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval), abs=0.01)
    drawn = pooled(GOOD).drawn(None, 0)
    assert drawn.std(ddof=1) == pytest.approx(expected.standard_error, rel=0.1)


def test_draws_follow_the_measure():
    sizes = {
        text: len(pooled(GOOD, measure=text).drawn(None, 0)) for text in ("mae_top.2", "spearman", "kendall_top.2")
    }
    assert sizes == {"mae_top.2": 2000, "spearman": 500, "kendall_top.2": 200}
    assert len(pooled(GOOD).drawn(70, 0)) == 70


@pytest.mark.parametrize("text", ["rmse_top.2", "spearman", "precision_top.2", "ndcg_pooled@20"])
def test_systems_that_draw_together_draw_what_each_draws_alone(text):
    together = [pooled(GOOD, measure=text), pooled(POOR[:2], measure=text)]
    draw_together(together)
    for one, predictions in zip(together, (GOOD, POOR[:2]), strict=True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("ltr.metrics.statistics.pooled_samples.Resampled", None)  # drawn already
            found = one.drawn(None, 0)
        np.testing.assert_allclose(found, pooled(predictions, measure=text).drawn(None, 0), rtol=1e-13)


@pytest.mark.parametrize("text", ["rmse_top.2", "spearman"])
def test_few_resamples_are_held_at_a_time(text, monkeypatch):
    whole, held = pooled(GOOD, measure=text).drawn(None, 0), []
    values = Resampled.values

    def counted(self, weights):
        held.append(weights.size)
        return values(self, weights)

    monkeypatch.setattr("ltr.metrics.statistics.pooled_samples.CELLS", 7 * len(LABELS))
    monkeypatch.setattr(Resampled, "values", counted)
    np.testing.assert_allclose(pooled(GOOD, measure=text).drawn(None, 0), whole, rtol=1e-13)
    assert max(held) == 7 * len(LABELS)


def test_a_pooled_contrast_is_paired():
    found = contrast(pooled(GOOD), pooled(POOR, "poor"), ("student", "fisher"))
    assert found.difference == pytest.approx(pooled(GOOD).seed_means.mean() - pooled(POOR).seed_means.mean())
    drawn = pooled(GOOD).drawn(None, 0) - pooled(POOR).drawn(None, 0)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    error = drawn.std(ddof=1)
    assert found.effect == pytest.approx(found.difference / error / 5)
    assert found.detectable == pytest.approx(detectable(error, 25))
    assert found.p["student"] == pytest.approx(2 * stats.t.sf(abs(found.difference) / error, 24))
    assert (found.wins, found.ties, found.losses) == (None, None, None)
    assert found.difference < 0
    assert found.better
    assert found.p["fisher"] < 0.001


def test_few_lists_change_places_in_all_ways():
    sizes = [4, 3, 5, 2, 6]
    n = sum(sizes)
    truth = LabelledLists(list("abcde"), np.cumsum([0, *sizes]), LABELS[:n])
    a, b = GOOD[:, :n], POOR[:, :n]
    found = contrast(pooled(a, truth=truth, measure="mae"), pooled(b, "poor", truth=truth, measure="mae"))
    # the mean absolute error is a sum over lists, so that scipy's test on the sums of lists is the same
    ours, theirs = (np.add.reduceat(np.abs(side - truth.labels).mean(axis=0), truth.offsets[:-1]) for side in (a, b))
    expected = stats.permutation_test(
        (ours, theirs), lambda x, y: np.sum(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert found.p["fisher"] == pytest.approx(expected.pvalue)


def test_many_lists_change_places_at_random():
    near = GOOD + 0.07 * (POOR - LABELS)
    found = contrast(pooled(near, measure="mae"), pooled(GOOD, "base", measure="mae"), permutations=4000)
    offsets = TRUTH.offsets[:-1]
    d = np.add.reduceat(np.mean(np.abs(near - LABELS) - np.abs(GOOD - LABELS), axis=0), offsets)
    expected = fisher(d)
    assert 0.01 < expected < 0.9
    assert found.p["fisher"] == pytest.approx(expected, abs=0.03)


def test_p_is_counted_and_never_a_tail_beyond_what_was_drawn():
    strong = contrast(pooled(GOOD), pooled(POOR, "poor"))
    assert strong.p["fisher"] == 1 / 100_001
    assert strong.counted["fisher"] == (1 / 100_001, 100_000, 100_000)
    assert contrast(pooled(GOOD), pooled(POOR, "poor"), permutations=200).p["fisher"] == 1 / 201
    ranked = contrast(pooled(GOOD, measure="spearman"), pooled(POOR, "poor", "spearman"), permutations=3000)
    assert ranked.counted["fisher"].bound
    same = contrast(pooled(GOOD), pooled(GOOD, "again"), ("fisher", "student"))
    assert same.p == {"fisher": 1.0, "student": 1.0}
    assert same.counted["fisher"].drawn == 1000  # more would tell nothing
    assert same.effect == 0
    assert same.better is None


def test_constant_predictions_leave_everything_undefined_and_break_nothing():
    constant = np.ones_like(GOOD)
    found = summarise(pooled(constant, measure="spearman"))
    assert all(math.isnan(v) for v in (found.mean, found.low, found.high))
    made = contrast(pooled(constant, measure="spearman"), pooled(GOOD, "base", "spearman"), ("fisher", "student"))
    values = (made.difference, made.low, made.effect, made.detectable, *made.p.values())
    assert all(math.isnan(v) for v in values)
    assert made.better is None
    single = LabelledLists(["a"], [0, len(LABELS)], LABELS)
    alone = contrast(pooled(GOOD, truth=single), pooled(POOR, "poor", truth=single), ("fisher", "student"))
    assert all(math.isnan(v) for v in (alone.low, alone.high, alone.p["student"]))
    assert alone.p["fisher"] == 1.0


def test_measures_with_values_per_query_are_sampled_per_query():
    made = sample("good", "ndcg_label@3", GOOD, TRUTH, "toy")
    assert isinstance(made, PerQuery)
    assert made.values[1].tolist() == evaluate_labels(GOOD[1], TRUTH, "ndcg_label@3").values["ndcg_label@3"].tolist()
    assert (made.query_ids, made.data) == (TRUTH.query_ids, "toy")
    assert isinstance(sample("good", "rmse", GOOD, TRUTH), Pooled)


def test_a_change_of_place_that_leaves_the_measure_undefined_speaks_for_chance():
    truth = LabelledLists(["a", "b"], [0, 2, 4], [1.0, 2.0, 3.0, 4.0])
    rising, falling = np.array([[1.0, 1.0, 2.0, 2.0]]), np.array([[2.0, 2.0, 1.0, 1.0]])
    # of four ways two are as large, and two give both systems equal predictions everywhere
    found = contrast(pooled(rising, measure="spearman", truth=truth), pooled(falling, "base", "spearman", truth))
    assert found.p["fisher"] == 1.0
