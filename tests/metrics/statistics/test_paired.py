"""Tests and intervals agree with scipy's; corrections and counts with hand-worked ones."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ltr.errors import ConfigError, DataError, ShapeError
from ltr.metrics.engine import Evaluation
from ltr.metrics.statistics.paired import Counted, bootstrap, bootstraps, compare, counted, fisher, holm, student, tail


def sample(n: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.beta(0.4, 0.6, n) - rng.beta(0.4, 0.6, n) + shift


@pytest.mark.parametrize("n", [2, 3, 10, 200])
@pytest.mark.parametrize("shift", [0.0, 0.1, -0.5])
def test_student_is_scipys(n, shift):
    a, b = sample(n, shift), sample(n, seed=1)
    assert student(a - b) == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)


def test_student_where_the_spread_is_zero():
    assert student(np.zeros(5)) == 1.0
    assert np.isnan(student(np.array([0.3])))
    assert np.isnan(student(np.array([0.5, 0.5])))  # t is infinite, and two equal differences are no evidence
    assert fisher(np.array([0.5, 0.5])) == 0.5
    assert np.isnan(student(np.full(5, 0.25)))
    assert np.isnan(student(np.array([0.3 - 0.2, 0.4 - 0.3])))  # what differs is rounding


def test_what_is_undefined_is_never_significant_and_counts_as_a_comparison():
    """Two queries won by the same margin: Student's test is undefined; the other measure keeps its p, times two."""
    base = Evaluation("a", ["q1", "q2"], {"mrr": np.array([0.5, 0.5]), "map": np.array([0.25, 0.5])})
    ours = Evaluation("b", ["q1", "q2"], {"mrr": np.array([1.0, 1.0]), "map": np.array([0.5, 1.0])})
    mrr, of_map = compare([base, ours], tests=("student", "fisher"), resamples=50).contrasts
    assert np.isnan([mrr.p["student"], mrr.adjusted["student"], mrr.effect]).all()
    assert of_map.adjusted["student"] == pytest.approx(2 * of_map.p["student"])
    assert (mrr.p["fisher"], mrr.adjusted["fisher"]) == (0.5, 1.0)


def test_of_one_query_there_is_no_interval_no_effect_and_no_t():
    base, ours = (Evaluation(name, ["q"], {"mrr": np.array([value])}) for name, value in (("a", 0.25), ("b", 0.5)))
    found = compare([base, ours], tests=("student", "fisher"), resamples=50)
    (c,) = found.contrasts
    assert np.isnan([*found.intervals["a", "mrr"], c.low, c.high, c.effect, c.p["student"]]).all()
    assert (c.difference, c.p["fisher"]) == (0.25, 1.0)


def test_a_counted_p_says_over_how_many():
    few, many = np.full(10, 0.5), np.full(100, 0.5)
    assert counted(few) == Counted(2 / 1024)
    assert not counted(few).bound
    found = counted(many, permutations=999)
    assert found == Counted(1 / 1000, 999, 999)
    assert (found.bound, found.least) == (True, 0.001)
    assert not counted(sample(40, 0.15), permutations=999).bound


def blocks(*rows: str):
    return (np.array([letter == "x" for letter in row]) for row in rows)


@pytest.mark.parametrize(
    ("rows", "least", "enough", "expected"),
    [
        (["..x.", "...."], 0, None, (2 / 9, 8)),
        # the third as large is the last drawn: two before it, of six
        (["x.x.", "..x.", "x..."], 0, 3, (3 / 7, 6)),
        (["x.x.", "..x.", "x..."], 4, 3, (3 / 7, 6)),
        # enough among those that are drawn in any case: all of them count
        (["xxx.", "xxxx"], 4, 3, (4 / 5, 4)),
        (["xxx.", "xxxx"], 6, 3, (6 / 7, 6)),
        (["....", "..x."], 2, 3, (2 / 9, 8)),
    ],
)
def test_permutations_are_drawn_until_enough_are_as_large(rows, least, enough, expected):
    p, drawn, most = tail(blocks(*rows), 8, least, enough)
    assert (p, drawn, most) == (pytest.approx(expected[0]), expected[1], 8)


def test_stopping_early_keeps_the_level():
    """Under the null hypothesis the observed statistic is one more draw: its p is at most a level as often as that."""
    rng = np.random.default_rng(0)
    found = np.array([tail(iter(rng.random((50, 100)) >= u), 5000, 200, 10).p for u in rng.random(2000)])
    for level in (0.005, 0.02, 0.05, 0.2, 0.5):
        assert (found <= level).mean() <= level + 3 * np.sqrt(level / 2000)
        assert (found <= level).mean() >= 0.8 * level - 3 * np.sqrt(level / 2000)


@pytest.mark.parametrize("n", [2, 7, 12])
@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_fisher_is_exact_for_few_queries(n, shift):
    d = sample(n, shift)
    counted = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True)
    assert fisher(d) == pytest.approx(counted.pvalue, abs=1e-12)
    assert fisher(np.concatenate([d, np.zeros(30)])) == fisher(d)


def test_fisher_with_ties_in_the_statistic():
    """0.1 + 0.2 and 0.3 differ as floats; flips that give the same sum must count as equal."""
    d = np.array([0.1, 0.2, -0.3, 0.3])
    sums = [abs(a * 1 + b * 2 - c * 3 + e * 3) for a in (1, -1) for b in (1, -1) for c in (1, -1) for e in (1, -1)]
    assert fisher(d) == np.mean([s >= 3 for s in sums])


def test_fisher_by_sampling_is_close_to_exact_and_seeded():
    d = sample(40, 0.15)
    drawn = fisher(d, permutations=50_000, seed=1)
    reference = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=50_000, vectorized=True, rng=np.random.default_rng(2)
    )
    assert drawn == pytest.approx(reference.pvalue, abs=4 * np.sqrt(0.25 / 50_000) * 2)
    assert drawn == fisher(d, permutations=50_000, seed=1)
    assert fisher(d, permutations=99) >= 1 / 100
    assert fisher(np.full(100, 0.5), permutations=999) == 1 / 1000


def test_fisher_in_small_steps(monkeypatch):
    whole = fisher(sample(30, 0.1), permutations=2_000)
    monkeypatch.setattr(sys.modules["ltr.metrics.statistics.paired"], "CELLS", 1000)
    assert fisher(sample(30, 0.1), permutations=2_000) == pytest.approx(whole, abs=0.05)


def test_fisher_where_nothing_can_be_significant():
    assert fisher(np.zeros(4)) == 1.0
    assert fisher(np.array([0.7])) == 1.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_its_definition(p):
    """The k-th smallest p is raised by the number not yet decided, and never below its predecessor."""
    order = np.argsort(p, kind="stable")
    expected, highest = {}, 0.0
    for k, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - k) * p[i]))
        expected[i] = highest
    np.testing.assert_allclose(holm(p), [expected[i] for i in range(len(p))])


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("n", [8, 53, 400])
def test_bootstrap_is_scipys_bca(n, level):
    x = np.random.default_rng(n).beta(0.5, 1.5, n)
    theirs = stats.bootstrap(
        (x,), np.mean, n_resamples=20_000, confidence_level=level, method="BCa", rng=np.random.default_rng(5)
    ).confidence_interval
    width = theirs.high - theirs.low
    np.testing.assert_allclose(bootstrap(x, level, 20_000), theirs, atol=0.03 * width)


def test_bootstrap_of_skewed_values_reaches_out_on_the_long_side():
    x = np.array([0.0] * 18 + [1.0] * 2)
    low, high = bootstrap(x)
    assert high - x.mean() > x.mean() - low
    assert bootstrap(x) == (low, high)


def test_columns_that_share_draws_have_the_intervals_of_each_alone(monkeypatch):
    rng = np.random.default_rng(0)
    columns = [rng.random(40), np.ones(40), rng.integers(0, 2, 40).astype(float)]
    alone = [bootstrap(x, resamples=500) for x in columns]
    monkeypatch.setattr(sys.modules["ltr.metrics.statistics.paired"], "DRAWN", 100)
    assert bootstraps(columns, resamples=500) == alone
    assert alone[1] == (1.0, 1.0)


def test_draws_are_made_once_for_all_columns(monkeypatch):
    made = []
    true = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: made.append(seed) or true(seed))
    bootstraps([true(i).random(9) for i in range(6)], resamples=50, seed=3)
    assert made == [3]


def test_columns_are_of_the_same_queries():
    with pytest.raises(ShapeError, match=r"bootstrap: columns must be of the same queries, got lengths \[2, 3\]"):
        bootstraps([np.zeros(3), np.ones(2)])


def test_no_figure_but_the_difference_depends_on_the_scale():
    """rbp.5 of runs that differ from rank 505 on: squares of the differences are 0 in float64."""
    d, scale = sample(30, 0.1), 2.0**-1000
    assert student(d * scale) == student(d)
    assert fisher(d * scale) == fisher(d)
    assert bootstrap(d * scale, resamples=500) == tuple(end * scale for end in bootstrap(d, resamples=500))
    queries = [f"q{i}" for i in range(30)]
    runs = [Evaluation("a", queries, {"rbp.5": np.zeros(30)}), Evaluation("b", queries, {"rbp.5": d * scale})]
    tiny = compare(runs, resamples=50).contrast("b", "rbp.5")
    assert tiny.effect == pytest.approx(d.mean() / d.std(ddof=1), rel=1e-12)


def test_bootstrap_where_there_is_no_spread():
    assert bootstrap(np.full(5, 0.25)) == (0.25, 0.25)
    for few in ([0.5], []):  # one query tells nothing about others
        assert np.isnan(bootstrap(np.array(few))).all()


@pytest.mark.parametrize("level", [0, 1, 95])
def test_levels_that_are_no_share(level):
    with pytest.raises(ConfigError, match="bootstrap: the level must be between 0 and 1, got"):
        bootstrap(np.array([0.0, 1.0]), level)


def test_values_must_be_flat_and_finite():
    with pytest.raises(ShapeError, match=r"compare: values must be flat, one per query, got shape \(2, 2\)"):
        student(np.ones((2, 2)))
    with pytest.raises(DataError, match="compare: values must be finite, got nan"):
        fisher(np.array([0.0, np.nan]))


def evaluation(name: str, shift: float = 0.0, seed: int = 0, measures=("mrr", "map"), n: int = 20) -> Evaluation:
    values = {m: np.clip(sample(n, shift, seed + i), -1, 1) for i, m in enumerate(measures)}
    return Evaluation(name, [f"q{i}" for i in range(n)], values)


def test_all_runs_against_the_baseline():
    runs = [evaluation("a"), evaluation("b", 0.4, seed=5), evaluation("c", -0.1, seed=9)]
    found = compare(runs, baseline="b", tests=("student", "fisher"), permutations=2_000, resamples=500)
    assert [(c.run, c.measure) for c in found.contrasts] == [("a", "mrr"), ("a", "map"), ("c", "mrr"), ("c", "map")]
    for test in ("student", "fisher"):
        raw = [c.p[test] for c in found.contrasts]
        np.testing.assert_allclose([c.adjusted[test] for c in found.contrasts], holm(raw))
    first = found.contrast("a", "mrr")
    d = runs[0].values["mrr"] - runs[1].values["mrr"]
    assert first.difference == pytest.approx(d.mean())
    assert first.p["student"] == pytest.approx(stats.ttest_rel(runs[0].values["mrr"], runs[1].values["mrr"]).pvalue)
    assert first.effect == pytest.approx(d.mean() / d.std(ddof=1))
    assert (first.low, first.high) == bootstrap(d, 0.95, 500)
    assert (first.wins, first.ties, first.losses) == ((d > 0).sum(), 0, (d < 0).sum())
    assert found.contrast("b", "mrr") is None
    assert found.intervals["b", "map"] == bootstrap(runs[1].values["map"], 0.95, 500)


def test_equal_runs():
    c = compare([evaluation("a"), evaluation("b")], resamples=100).contrasts[0]
    assert (c.wins, c.ties, c.losses, c.difference, c.effect, c.p["student"]) == (0, 20, 0, 0.0, 0.0, 1.0)


def test_one_run_has_intervals_and_no_contrast():
    found = compare([evaluation("a")], resamples=100)
    assert found.baseline == "a"
    assert found.contrasts == ()
    assert set(found.intervals) == {("a", "mrr"), ("a", "map")}


def test_what_cannot_be_compared():
    with pytest.raises(DataError, match="compare: no run was given"):
        compare([])
    with pytest.raises(DataError, match="compare: runs need distinct names, got a, a"):
        compare([evaluation("a"), evaluation("a")])
    with pytest.raises(ConfigError, match=r"compare: no run 'bm52' to be the baseline; did you mean 'bm25'\?"):
        compare([evaluation("bm25")], baseline="bm52")
    with pytest.raises(ConfigError, match=r"compare: no test 'students'; did you mean 'student'\?"):
        compare([evaluation("a"), evaluation("b")], tests=("students",))
    for other in (evaluation("b", n=21), evaluation("b", measures=("mrr",))):
        with pytest.raises(DataError, match="compare: a and b were measured on different queries or measures"):
            compare([evaluation("a"), other])
