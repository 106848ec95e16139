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
from ltr.metrics.fusion import best_weight, interpolate, normalised

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


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_weights_outside_of_0_to_1(weight):
    run = Run.from_dict({"q": {"a": 1.0}})
    with pytest.raises(ConfigError, match=r"interpolate: the weight of the first run must be in \[0, 1\], got"):
        interpolate(run, run, weight)


def test_ids_made_to_collide(monkeypatch):
    run = Run.from_dict({"q": {"a": 1.0, "b": 2.0}})
    monkeypatch.setattr(fusion, "keys", lambda docs, query, seed=0: np.zeros(len(docs), np.uint64))
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
