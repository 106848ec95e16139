"""Means, intervals and contrasts over seeds: the figures of scipy and ranx, queries and seeds never mixed up."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from ltr.errors import ConfigError, DataError, ShapeError
from ltr.io.labelled import LabelledLists
from ltr.io.trec import Run
from ltr.metrics import evaluate
from ltr.metrics.measures.measure import parse
from ltr.metrics.statistics.contrasts import contrast, contrasts, corrected
from ltr.metrics.statistics.p_values import fisher, student
from ltr.metrics.statistics.pooled_samples import Pooled, sample
from ltr.metrics.statistics.samples import PerQuery, detectable
from ltr.metrics.statistics.seeds import summarise

RNG = np.random.default_rng(2)
QUERIES = [f"q{i}" for i in range(40)]
BASE = RNG.beta(2, 3, (5, 40))
OURS = np.clip(BASE + RNG.normal(0.04, 0.1, (5, 40)), 0, 1)


def per_query(values, system="ours", measure="ndcg@10", data="toy", ids=None):
    return PerQuery(system, measure, values, ids or QUERIES[: np.shape(values)[1]], data)


# ---------------------------------------------------------------------- summaries


def test_the_interval_is_over_queries_and_the_spread_over_seeds():
    found = summarise(per_query(OURS))
    assert found.mean == pytest.approx(OURS.mean())
    seeds = OURS.mean(axis=1)
    assert found.seed_sd == pytest.approx(seeds.std(ddof=1))
    assert (found.seed_min, found.seed_max) == pytest.approx((seeds.min(), seeds.max()))
    t = stats.t.interval(0.95, 4, seeds.mean(), stats.sem(seeds))
    assert (found.seed_low, found.seed_high) == pytest.approx(t)
    expected = stats.bootstrap((OURS.mean(axis=0),), np.mean, n_resamples=20_000, rng=np.random.default_rng(0))
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval), abs=0.004)
    assert (found.data, found.system, str(found.measure)) == ("toy", "ours", "ndcg@10")
    assert (found.n_seeds, found.n_queries) == (5, 40)


def test_more_seeds_of_the_same_queries_do_not_narrow_the_interval_over_queries():
    one, five = summarise(per_query(OURS[:1])), summarise(per_query(np.repeat(OURS[:1], 5, axis=0)))
    assert (one.low, one.high) == pytest.approx((five.low, five.high))
    assert math.isnan(one.seed_sd)
    assert math.isnan(one.seed_low)
    assert (five.seed_sd, five.seed_low, five.seed_high) == pytest.approx((0, five.mean, five.mean))


def test_other_levels():
    narrow, wide = summarise(per_query(OURS), level=0.5), summarise(per_query(OURS))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert wide.seed_low < narrow.seed_low
    with pytest.raises(ConfigError, match="seeds: the level of an interval must be between 0 and 1, got 95"):
        summarise(per_query(OURS), level=95)


def test_samples_are_made_of_evaluations():
    runs = [Run.from_dict({q: {"a": 1.0, "b": b} for q in QUERIES[:4]}, "x") for b in (0.0, 2.0, 3.0)]
    qrels = {q: {"a": 1} for q in QUERIES[:4]}
    made = PerQuery.of("ours", "mrr", [evaluate(run, qrels, "mrr") for run in runs], "toy")
    assert made.values.tolist() == [[1.0] * 4, [0.5] * 4, [0.5] * 4]
    assert (made.query_ids, made.data, made.n_queries) == (QUERIES[:4], "toy", 4)
    other = evaluate(runs[0], dict(reversed(qrels.items())), "mrr")
    with pytest.raises(DataError, match="ours: its 2 seeds must be measured on the same queries in one order"):
        PerQuery.of("ours", "mrr", [evaluate(runs[0], qrels, "mrr"), other])


# ---------------------------------------------------------------------- contrasts of values per query


def test_a_contrast_is_of_the_means_over_seeds():
    found = contrast(per_query(OURS), per_query(BASE[:3], "base"), ("student", "fisher"))
    d = OURS.mean(axis=0) - BASE[:3].mean(axis=0)
    assert found.difference == pytest.approx(d.mean())
    assert found.effect == pytest.approx(d.mean() / d.std(ddof=1))
    assert found.p["student"] == pytest.approx(stats.ttest_rel(OURS.mean(axis=0), BASE[:3].mean(axis=0)).pvalue)
    assert found.p == {"student": student(d), "fisher": fisher(d)}
    expected = stats.bootstrap((d,), np.mean, n_resamples=20_000, rng=np.random.default_rng(0)).confidence_interval
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.002)
    assert (found.wins, found.ties, found.losses) == ((d > 0).sum(), 0, (d < 0).sum())
    assert found.better
    assert found.adjusted == {}
    assert found.detectable == pytest.approx(detectable(stats.sem(d), 40))


def test_few_queries_are_randomised_exactly():
    a, b = OURS[:, :9], BASE[:, :9]
    found = contrast(per_query(a), per_query(b, "base"))
    expected = stats.permutation_test(
        (a.mean(axis=0), b.mean(axis=0)), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert found.p["fisher"] == pytest.approx(expected.pvalue)


def test_wins_follow_the_direction():
    lower = np.array([[1.0, 2.0, 3.0, 4.0]])
    higher = np.array([[2.0, 3.0, 3.0, 3.0]])
    found = contrast(per_query(lower, measure="mrr"), per_query(higher, "base", "mrr"))
    assert (found.wins, found.ties, found.losses) == (1, 1, 2)
    assert found.better is False
    assert contrast(per_query(lower), per_query(lower, "base")).better is None


def test_of_a_single_query_nothing_is_claimed():
    found = contrast(per_query([[0.5]]), per_query([[0.25]], "base"), ("student", "fisher"))
    assert found.p["fisher"] == 1.0
    undefined = (found.p["student"], found.low, found.high, found.detectable, found.effect)
    assert all(math.isnan(v) for v in undefined)
    alone = summarise(per_query([[0.5]]))
    assert (alone.mean, math.isnan(alone.low), math.isnan(alone.high)) == (0.5, True, True)


def test_differences_without_spread_are_no_evidence_for_student():
    found = contrast(per_query([[0.5, 0.75]]), per_query([[0.25, 0.5]], "base"), ("student", "fisher"))
    assert math.isnan(found.p["student"])
    assert math.isnan(found.effect)
    assert found.p["fisher"] == 0.5
    # the error of constant predictions of constant labels is the same on all resamples
    truth = LabelledLists(["a", "b", "c"], [0, 2, 4, 6], np.zeros(6))
    far, near = (Pooled(name, "rmse", np.full((1, 6), value), truth) for name, value in (("far", 2.0), ("near", 1.0)))
    found = contrast(far, near, ("student", "fisher"))
    assert math.isnan(found.p["student"])
    assert found.p["fisher"] == 0.25  # the three lists change places in eight ways, two of which are as large
    assert contrast(far, far, ("student",)).p == {"student": 1.0}


RANX = """
import json, sys, numpy as np
from ranx import Qrels, Run, compare
qrels, first, second = json.load(sys.stdin)
runs = [Run(first, name="first"), Run(second, name="second")]
for test in ("student", "fisher"):
    report = compare(Qrels(qrels), runs, ["mrr"], stat_test=test, n_permutations=3000).to_dict()
    print(report["second"]["comparisons"]["first"]["mrr"])
"""


def test_student_and_fisher_agree_with_ranx():
    qrels = {q: {"d0": 1} for q in QUERIES}
    first, second = ({q: {f"d{j}": RNG.normal() + b * (j == 0) for j in range(6)} for q in QUERIES} for b in (0.5, 1.2))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RANX],
        input=json.dumps([qrels, first, second]),
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = [float(line) for line in done.stdout.split()]
    a, b = (
        PerQuery.of(name, "mrr", [evaluate(Run.from_dict(run), qrels, "mrr")])
        for name, run in (("b", second), ("a", first))
    )
    found = contrast(a, b, ("student", "fisher"))
    assert found.p["student"] == pytest.approx(theirs[0], rel=1e-9)
    assert 0.005 < theirs[1] < 0.5
    assert found.p["fisher"] == pytest.approx(theirs[1], abs=0.02)


# ---------------------------------------------------------------------- the smallest detectable difference


def test_detectable_is_found_with_that_power():
    n, sd = 30, 0.2
    delta = detectable(sd / math.sqrt(n), n)
    t = stats.t.ppf(0.975, n - 1)
    power = stats.nct.sf(t, n - 1, delta / (sd / math.sqrt(n))) + stats.nct.cdf(-t, n - 1, delta / (sd / math.sqrt(n)))
    assert power == pytest.approx(0.8, abs=0.01)
    assert detectable(0.01, 10**6) == pytest.approx(0.01 * (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)), rel=1e-4)
    assert detectable(0.01, 50, level=0.01, power=0.9) > detectable(0.01, 50)


SIZES = RNG.integers(3, 9, 25)
LABELS = RNG.gamma(2.0, 1.0, SIZES.sum())
TRUTH = LabelledLists([f"l{i}" for i in range(25)], np.cumsum([0, *SIZES]), LABELS)
GOOD, POOR = (np.stack([LABELS + RNG.normal(0, sd, len(LABELS)) for _ in range(3)]) for sd in (0.5, 1.0))


def pooled(predictions, system="good", measure="rmse", truth=TRUTH):
    return Pooled(system, measure, predictions, truth, "toy")


# ---------------------------------------------------------------------- whole tables


def test_holm_is_over_all_contrasts_of_all_data_and_measures():
    samples = []
    for data in ("one", "two"):
        for name, shift in (("base", 0), ("a", 0.02), ("b", 0.05)):
            samples += [per_query(OURS + shift * (BASE + 0.5), name, "ndcg@10", data)]
    samples += [pooled(GOOD, "a"), pooled(POOR, "base"), pooled(POOR, "b")]
    found = contrasts(samples, "base", tests=("student", "fisher"))
    assert [(c.data, c.system, str(c.measure)) for c in found] == [
        ("one", "a", "ndcg@10"), ("one", "b", "ndcg@10"), ("two", "a", "ndcg@10"), ("two", "b", "ndcg@10"),
        ("toy", "a", "rmse"), ("toy", "b", "rmse"),
    ]  # fmt: skip
    done = corrected(found)
    for test in ("student", "fisher"):
        p = [c.p[test] for c in found]
        order = np.argsort(p)
        running, expected = 0.0, np.empty(6)
        for rank, i in enumerate(order):
            running = max(running, min(1, (6 - rank) * p[i]))
            expected[i] = running
        assert [c.adjusted[test] for c in done] == pytest.approx(expected.tolist())
    assert [c.p for c in done] == [c.p for c in found]


def test_undefined_comparisons_count_and_stay_undefined():
    one = contrast(per_query(OURS), per_query(BASE, "base"), ("student",))
    constant = contrast(
        pooled(np.ones_like(GOOD), measure="spearman"), pooled(GOOD, "base", "spearman"), ("student", "fisher")
    )
    first, second = corrected([one, constant])
    assert first.adjusted == {"student": pytest.approx(2 * one.p["student"])}
    assert math.isnan(second.adjusted["student"])
    assert corrected([]) == []


def test_systems_without_a_baseline_on_their_data_are_left_out():
    found = contrasts([per_query(OURS, "a", data="x"), per_query(OURS, "base", data="y")], "base")
    assert found == []
    with pytest.raises(ConfigError, match=r"contrasts: no system 'bsae' to be the baseline; did you mean 'base'\?"):
        contrasts([per_query(OURS, "base")], "bsae")


# ---------------------------------------------------------------------- bad input


def test_what_cannot_be_compared():
    ours = per_query(OURS)
    for other in (
        per_query(BASE, "base", "mrr"), per_query(BASE, "base", data="other"), per_query(BASE[:, :30], "base"),
        per_query(BASE, "base", ids=QUERIES[::-1]), sample("base", "ndcg_label", GOOD, TRUTH, "toy"),
    ):  # fmt: skip
        with pytest.raises(
            DataError, match=r"contrast: ours and base must be measured alike on the same queries, got ndcg@10"
        ):
            contrast(ours, other)
    other = LabelledLists(TRUTH.query_ids, TRUTH.offsets, LABELS + 1)
    with pytest.raises(DataError, match="must be measured alike on the same queries, got rmse on 25 queries of toy"):
        contrast(pooled(GOOD), pooled(GOOD, "base", truth=other))
    copy = LabelledLists(TRUTH.query_ids, TRUTH.offsets, LABELS.copy())
    assert contrast(pooled(GOOD), pooled(GOOD, "base", truth=copy)).difference == 0
    with pytest.raises(ShapeError, match=r"rmse swaps predictions seed by seed, .* equally many seeds, got 3 and 2"):
        contrast(pooled(GOOD), pooled(POOR[:2], "base"))
    with pytest.raises(ConfigError, match=r"contrast: no test 'fischer'; did you mean 'fisher'\?"):
        contrast(ours, per_query(BASE, "base"), ("fischer",))


def test_what_is_no_sample():
    with pytest.raises(ShapeError, match=r"ours: values must be \[seeds, queries\] with 40 queries, got \(40,\)"):
        PerQuery("ours", "mrr", BASE[0], QUERIES)
    with pytest.raises(DataError, match="ours: mrr must be finite, got nan for seed 1, query q2"):
        PerQuery("ours", "mrr", np.where(np.arange(80).reshape(2, 40) == 42, np.nan, 1.0), QUERIES)
    with pytest.raises(
        ShapeError, match=rf"good: predictions must be \[seeds, documents\] with {len(LABELS)} documents"
    ):
        pooled(GOOD[0])
    with pytest.raises(DataError, match="good: predictions must be finite, got inf for seed 0, document 0"):
        pooled(np.where(np.arange(GOOD.size).reshape(GOOD.shape) == 0, np.inf, GOOD))
    with pytest.raises(DataError, match=r"good: ndcg_label@5 has values per query; use sample\(\) or PerQuery"):
        pooled(GOOD, measure="ndcg_label@5")
    assert parse("rmse") == pooled(GOOD).measure


def test_values_per_query_of_an_error_are_better_when_smaller():
    lower, higher = np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[2.0, 3.0, 3.0, 3.0]])
    found = contrast(per_query(lower, measure="rmse"), per_query(higher, "base", "rmse"))
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    assert found.better
