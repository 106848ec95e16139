"""Interpolation is ranx's min-max weighted sum, and the weight is the best of those tried."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.errors import ConfigError, DataError
from ltr.io.trec import Run
from ltr.metrics import fusion
from ltr.metrics.engine import evaluate
from ltr.metrics.fusion import best_weight, fuse, interpolate, joined, normalised, weights

#: ranx's own fusion on stdin's runs, without compilation (which takes it half a minute)
RANX = """
import json, sys
from ranx import Run, fuse
first, second, weight = json.load(sys.stdin)
fused = fuse([Run(first), Run(second)], norm="min-max", method="wsum", params={"weights": (weight, 1 - weight)})
print(json.dumps({q: dict(docs) for q, docs in fused.run.items()}))
"""

DOCS = st.sampled_from(["a", "b", "c", "dd", "ä", "a very long id indeed"])
TABLES = st.dictionaries(st.sampled_from("pqr"), st.dictionaries(DOCS, st.floats(-100, 100), min_size=1), min_size=1)


def by_definition(first: dict, second: dict, weight: float) -> dict:
    """The docstring in plain Python."""

    def scaled(docs):
        low, high = min(docs.values(), default=0), max(docs.values(), default=0)
        return {d: (s - low) / (high - low) if high > low else 0.0 for d, s in docs.items()}

    fused = {}
    for q in [*first, *(q for q in second if q not in first)]:
        a, b = scaled(first.get(q, {})), scaled(second.get(q, {}))
        fused[q] = {d: weight * a.get(d, 0) + (1 - weight) * b.get(d, 0) for d in {**a, **b}}
    return fused


@settings(max_examples=100, deadline=None)
@given(TABLES, TABLES, st.floats(0, 1))
def test_is_what_its_docstring_says(first, second, weight):
    fused = interpolate(Run.from_dict(first), Run.from_dict(second), weight).to_dict()
    expected = by_definition(first, second, weight)
    assert list(fused) == list(expected)
    for q, docs in expected.items():
        assert fused[q] == pytest.approx(docs, abs=1e-12)


def test_equals_ranx():
    rng = np.random.default_rng(0)
    first, second = (
        {f"q{i}": {f"d{d}": rng.normal() for d in rng.permutation(20)[:8]} for i in range(5)} for _ in range(2)
    )
    second["q4"] = dict.fromkeys(second["q4"], 2.0)
    command = [sys.executable, "-W", "ignore", "-c", RANX]
    done = subprocess.run(
        command,
        input=json.dumps([first, second, 0.3]),
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    fused = interpolate(Run.from_dict(first), Run.from_dict(second), 0.3).to_dict()
    for q, docs in json.loads(done.stdout).items():
        assert fused[q] == pytest.approx(docs, abs=1e-12)


def test_scores_are_normalised_by_their_true_extremes():
    """16777217 ties with 16777216 as float32 and may stand below it."""
    run = Run.from_dict({"q": {"b": 16777216.0, "a": 16777217.0, "c": 16777215.0}})
    assert dict(zip(run.doc_ids, normalised(run), strict=True)) == {"a": 1.0, "b": 0.5, "c": 0.0}


def test_empty_runs():
    empty = Run.from_dict({"q": {}})
    assert interpolate(empty, empty, 0.5).to_dict() == {"q": {}}
    assert interpolate(empty, Run.from_dict({"q": {"a": 1.0, "b": 0.0}}), 0.5).to_dict() == {"q": {"a": 0.5, "b": 0.0}}


def test_names():
    a, b = Run.from_dict({"q": {"a": 1.0}}, "a"), Run.from_dict({"q": {"a": 1.0}}, "b")
    assert interpolate(a, b, 0.25).name == "0.25 a + 0.75 b"
    assert interpolate(a, b, 0.25, name="both").name == "both"


def test_scores_below_0_do_not_drown_the_other_run():
    """Logits divided by the largest of them: by next to nothing, where that is negative."""
    logits = Run.from_dict({"p": {"a": 2.0, "b": 1.0}, "q": {"a": -1.0, "b": -5.0}}, "logits")
    other = Run.from_dict({"q": {"b": 3.0, "a": 1.0}}, "other")
    with pytest.raises(
        ConfigError, match=r"norm max divides .* above 0; in run logits, query q, it is -1; take min-max"
    ):
        fuse([logits, other], "wsum", norm="max")
    zeros = Run.from_dict({"q": {"a": 0.0, "b": 0.0}}, "zeros")
    assert fuse([zeros, other], "wsum", norm="max")["q"][0].tolist() == ["b", "a"]


@pytest.mark.parametrize("size", [1e-160, 1e-12, 1e200])
@pytest.mark.parametrize("norm", ["min-max", "max", "sum", "zmuv", "standard"])
def test_a_scale_that_all_scores_share_changes_nothing(norm, size):
    """Likelihoods of 1e-12 are no worse than probabilities: as small ones they would drown in every sum."""
    given = {"p": {"a": 4.0, "b": 2.0, "c": 1.0}, "q": {"d": 8.0, "e": 2.0}, "equal": {"f": 3.0, "g": 3.0}}
    scaled = {query: {doc: size * score for doc, score in docs.items()} for query, docs in given.items()}
    plain, other = (Run.from_dict(run) for run in (given, scaled))
    values = [dict(zip(run.doc_ids.tolist(), fusion.NORMS[norm](run).tolist(), strict=True)) for run in (plain, other)]
    assert values[1] == pytest.approx(values[0], rel=1e-9)


@pytest.mark.parametrize("norm", ["none", "max", "zmuv", "standard"])
def test_that_a_document_which_a_run_lacks_counts_more_than_its_own_is_told(norm, caplog):
    one = Run.from_dict({"q": {"a": 2.0, "b": -1.0}}, "logits")
    other = Run.from_dict({"q": {"b": 3.0, "a": 1.0, "c": 0.5}, "p": {"a": 1.0}}, "other")
    fuse([one, other], "wsum", norm=norm)
    assert "run logits has scores below 0 (-" in caplog.text
    assert "run other" not in caplog.text
    caplog.clear()
    fuse([one, other], "wsum")
    fuse([one, other], "rrf", norm=norm)
    assert not caplog.text


@pytest.mark.parametrize("method", ["max", "min", "med", "anz"])
def test_nothing_is_told_where_only_the_runs_that_hold_a_document_decide(method, caplog):
    one = Run.from_dict({"q": {"a": -2.0, "b": -4.0}}, "logits")
    other = Run.from_dict({"q": {"b": -4.0, "c": -3.0}}, "other")
    assert fuse([one, other], method, norm="none").to_dict() == {"q": {"a": -2.0, "c": -3.0, "b": -4.0}}
    assert not caplog.text


def test_nothing_is_told_where_no_document_is_lacking(caplog):
    """Of a query that a run does not hold at all every document counts 0 there, which moves none."""
    one = Run.from_dict({"q": {"a": -2.0, "b": -4.0}}, "logits")
    other = Run.from_dict({"q": {"b": 3.0, "a": 1.0}, "p": {"c": 1.0, "d": 0.5}}, "other")
    fuse([one, other], "wsum", norm="none")
    assert not caplog.text


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_weights_outside_of_0_to_1(weight):
    run = Run.from_dict({"q": {"a": 1.0}})
    with pytest.raises(ConfigError, match=r"interpolate: the weight of the first run must be in \[0, 1\], got"):
        interpolate(run, run, weight)


def test_ids_made_to_collide(monkeypatch):
    run = Run.from_dict({"q": {"a": 1.0, "b": 2.0}})
    monkeypatch.setattr(joined, "keys", lambda docs, query, seed=0: np.zeros(len(docs), np.uint64))
    with pytest.raises(DataError, match="interpolate: document ids collide under every hash"):
        interpolate(run, run, 0.5)


#: each run puts another wrong document first and the right one close behind: only a mixture finds it
FIRST = Run.from_dict({"p": {"good": 0.9, "bad": 1.0, "worse": 0.0}, "q": {"good": 0.6, "bad": 1.0, "worse": 0.0}})
SECOND = Run.from_dict({"p": {"good": 0.5, "bad": 0.0, "worse": 1.0}, "q": {"good": 0.9, "bad": 0.0, "worse": 1.0}})
QRELS = {"p": {"good": 1}, "q": {"good": 1}}


def test_the_best_weight_is_the_best_of_those_tried():
    weight, value = best_weight(FIRST, SECOND, QRELS, "mrr", step=0.1)
    means = {w / 10: evaluate(interpolate(FIRST, SECOND, w / 10), QRELS, "mrr")["mrr"] for w in range(11)}
    assert value == max(means.values()) == 1.0
    assert means[0.0] == means[1.0] == 0.5
    best = [w for w, mean in means.items() if mean == value]
    assert weight == best[len(best) // 2]


def test_where_nothing_matters_the_weight_is_in_the_middle():
    assert best_weight(FIRST, SECOND, QRELS, "hits", step=0.25) == (0.5, 1.0)


@pytest.mark.parametrize("step", [0, -1, 1.5])
def test_impossible_steps(step):
    with pytest.raises(ConfigError, match=r"best_weight: the step must be in \(0, 1\], got"):
        best_weight(FIRST, SECOND, QRELS, step=step)


#: ranx's own fusions of stdin's runs, all methods that need no judgements and all norms
RANX_ALL = """
import json, sys
from ranx import Run, fuse
runs, asked = json.load(sys.stdin)
found = []
for method, norm, params in asked:
    fused = fuse([Run(run) for run in runs], norm=None if norm == "none" else norm, method=method, params=params)
    found.append({q: dict(docs) for q, docs in fused.run.items()})
print(json.dumps(found))
"""
WEIGHTS = [0.5, 0.2, 0.3]


def asked_of_ranx() -> list[tuple[str, str, dict]]:
    """(method, norm, ranx's own parameters) of all that is compared."""
    found: list[tuple[str, str, dict]] = []
    for name, method in fusion.METHODS.items():
        params = {"weights": WEIGHTS} if method.weighted and name != "rrf" else {}
        params |= {method.parameter: method.default} if method.parameter else {}
        found.append((name, "none" if method.by_rank else "min-max", params))
    return [*found, *(("sum", norm, {}) for norm in fusion.NORMS if norm != "standard")]


@pytest.fixture(scope="module")
def three_runs() -> list[dict]:
    """Every query in each run, as ranx wants it; documents stand in one, two or all of them; no two scores are equal."""
    rng = np.random.default_rng(1)
    return [
        {f"q{i}": {f"d{d}": rng.normal(3, 2) for d in rng.permutation(12)[: rng.integers(1, 9)]} for i in range(6)}
        for _ in range(3)
    ]


@pytest.fixture(scope="module")
def by_ranx(three_runs):
    ordered = [{q: dict(sorted(d.items(), key=lambda e: -e[1])) for q, d in run.items()} for run in three_runs]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RANX_ALL],
        input=json.dumps([ordered, asked_of_ranx()]),
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("number", range(len(asked_of_ranx())), ids=lambda i: "-".join(asked_of_ranx()[i][:2]))
def test_every_method_and_norm_equals_ranx(number, by_ranx, three_runs):
    method, norm, params = asked_of_ranx()[number]
    own = fusion.METHODS[method]
    weights = params.get("weights")
    fused = fusion.fuse([Run.from_dict(run) for run in three_runs], method, norm, weights, params.get(own.parameter))
    for q, docs in by_ranx[number].items():
        assert fused.to_dict()[q] == pytest.approx(docs, abs=1e-12)


def test_fused_ties_stand_as_trec_eval_has_them():
    """Tied within a run, and tied after fusion: document id descending, and that rank counts."""
    first = Run.from_dict({"q": {"a": 1.0, "c": 1.0, "b": 1.0}})
    second = Run.from_dict({"q": {"a": 3.0, "c": 2.0, "b": 1.0}})
    docs, scores = fusion.fuse([first, second], "rrf")["q"]
    assert docs.tolist() == ["c", "a", "b"]  # c: 1 and 2, a: 3 and 1, b: 2 and 3
    assert scores == pytest.approx([1 / 61 + 1 / 62, 1 / 63 + 1 / 61, 1 / 62 + 1 / 63])
    same = fusion.fuse([first, first], "sum")["q"][0].tolist()
    assert same == ["c", "b", "a"]


def test_a_query_of_one_run_keeps_its_order():
    fused = fusion.fuse([Run.from_dict({"p": {"a": 2.0, "b": 1.0}}), Run.from_dict({"q": {"c": 1.0}})])
    assert fused["p"][0].tolist() == ["a", "b"]
    assert fused["q"][0].tolist() == ["c"]


def test_weights_of_three_runs_find_the_one_that_is_right():
    noise = Run.from_dict({q: {"good": 0.0, "bad": 0.2, "worse": 1.0} for q in "pq"})
    weights, mean = fusion.best_weights([FIRST, SECOND, noise], QRELS, measure="mrr")
    assert mean == 1.0
    assert sum(weights) == pytest.approx(1)
    assert evaluate(fusion.fuse([FIRST, SECOND, noise], "wsum", weights=weights), QRELS, "mrr")["mrr"] == 1.0


@pytest.mark.parametrize(("n", "step", "count"), [(2, 0.05, 21), (3, None, 231), (4, None, 286), (5, None, 126)])
def test_mixtures_are_all_that_sum_to_one(n, step, count):
    tried = weights._mixtures(n, step)
    assert tried.shape == (count, n)
    assert tried.sum(1) == pytest.approx(1)
    assert len(np.unique(tried, axis=0)) == count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "rff"}, "fuse: no method 'rff'; did you mean 'rrf'"),
        ({"norm": "minmax"}, "fuse: no norm 'minmax'; did you mean 'min-max'"),
        ({"method": "sum", "weights": [1, 2]}, "fuse: sum takes no weights; those that do: rrf, wsum"),
        ({"weights": [1]}, "fuse: one weight for each of the 2 runs, none negative and not all 0, got"),
        ({"weights": [0, 0]}, "fuse: one weight for each of the 2 runs, none negative and not all 0, got"),
        ({"method": "sum", "parameter": 3}, "fuse: sum takes no parameter, got 3; there are k of rrf"),
        ({"method": "rbc", "parameter": 3}, "fuse: phi of rbc must be from 0 to 1, got 3"),
    ],
)
def test_settings_that_cannot_be(arguments, message):
    with pytest.raises(ConfigError, match=message):
        fusion.fuse([FIRST, SECOND], **arguments)


def test_one_run_is_not_fused():
    with pytest.raises(ConfigError, match="fuse: two runs or more are needed, got 1"):
        fusion.fuse([FIRST])


def test_weights_of_what_has_none_are_not_chosen():
    with pytest.raises(ConfigError, match="fuse: isr has no weights to choose; those that have: rrf"):
        fusion.best_weights([FIRST, SECOND], QRELS, "isr")


def test_too_many_runs_to_choose_weights_of():
    with pytest.raises(ConfigError, match="fuse: the weights of 30 runs are too many to try"):
        fusion.best_weights([FIRST] * 30, QRELS)
    with pytest.raises(ConfigError, match="fuse: the weights of 6 runs are too many to try"):  # 4,598,126 mixtures
        fusion.best_weights([FIRST] * 6, QRELS, step=0.02)


def test_a_step_that_was_asked_for_may_try_more_than_a_search_does_by_itself():
    weights, _ = fusion.best_weights([FIRST, SECOND], QRELS, step=0.0025)  # 401 mixtures
    assert np.array(weights) * 400 == pytest.approx(np.round(np.array(weights) * 400))
    assert sum(weights) == pytest.approx(1)


def test_teachers_are_averaged_in_deviations_of_all_their_scores():
    """Not within a query, which would lose that a teacher finds nothing relevant there; who is missing does not count as 0."""
    first = Run.from_dict({"p": {"a": 100.0, "b": 300.0}, "q": {"a": 500.0, "b": 700.0}})
    second = Run.from_dict({"p": {"a": 1.0}, "q": {"a": 3.0}})
    fused = fusion.fuse([first, second], "anz", "standard").to_dict()
    unit = np.sqrt(5)
    assert fused["p"] == pytest.approx({"a": (-3 / unit - 1) / 2, "b": -1 / unit})
    assert fused["q"] == pytest.approx({"a": (1 / unit + 1) / 2, "b": 3 / unit})


def test_tables_are_fused_as_runs_are():
    a, b = {"q": {"x": 9.0, "y": 5.0, "z": 1.0}}, {"q": {"x": 0.0, "y": 3.0}}
    expected = interpolate(Run.from_dict(a), Run.from_dict(b), 0.25).to_dict()
    assert interpolate(a, b, 0.25).to_dict() == fuse([a, b], "wsum", weights=[0.25, 0.75]).to_dict() == expected
    assert best_weight(a, b, {"q": {"y": 1}}, "mrr") == best_weight(Run.from_dict(a), b, {"q": {"y": 1}}, "mrr")
