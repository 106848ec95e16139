"""Runs compared: corrections over all contrasts, and figures that no scale changes."""

import numpy as np
import pytest
from scipy import stats

from ltr.errors import ConfigError, DataError, ShapeError
from ltr.metrics.engine import Evaluation
from ltr.metrics.statistics.bootstrap import bootstrap
from ltr.metrics.statistics.p_values import fisher, holm, student
from ltr.metrics.statistics.paired import compare
from tests.metrics.statistics.differences import sample


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
    assert [(c.system, str(c.measure)) for c in found.contrasts] == [
        ("a", "mrr"),
        ("a", "map"),
        ("c", "mrr"),
        ("c", "map"),
    ]
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
