"""Every measure equals ranx's, at every cutoff and relevance level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.io.runs import Run
from ltr.metrics.engine import evaluate
from ltr.metrics.measures.measure import KINDS, Measure
from ltr.metrics.measures.vectorised import FUNCTIONS

DOCS = st.integers(0, 30).map("d{}".format)
GRADES = st.dictionaries(DOCS, st.integers(-1, 4), min_size=1, max_size=20)
RANKED = st.dictionaries(DOCS, st.integers(0, 20).map(float), max_size=25)
QUERIES = st.sampled_from("opqrs")


def settings_of(name: str) -> list[Measure]:
    """A measure at several levels, cutoffs (1, within the lists, beyond them) and persistences."""
    cutoffs = (0, 1, 3, 10, 1000) if KINDS[name].cutoff else (0,)
    persistences = (0.5, 0.95) if name == "rbp" else (None,)
    return [Measure(name, k, level, p) for k in cutoffs for level in (1, 2, 4) for p in persistences]


def test_every_measure_is_here():
    assert set(FUNCTIONS) == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=40, deadline=None)
@given(scored=st.dictionaries(QUERIES, RANKED, min_size=1), qrels=st.dictionaries(QUERIES, GRADES, min_size=1))
def test_equals_ranx(name, scored, qrels):
    if not set(scored) & set(qrels):
        return
    run = Run.from_dict(scored)
    ours, reference = (evaluate(run, qrels, settings_of(name), engine) for engine in ("numpy", "ranx"))
    for measure, values in reference.values.items():
        np.testing.assert_allclose(ours.values[measure], values, rtol=1e-12, atol=1e-15, err_msg=measure)


@pytest.mark.parametrize("name", KINDS)
def test_equals_ranx_on_long_lists(name):
    rng = np.random.default_rng(0)
    docs = [f"d{i}" for i in range(2000)]
    scored = {f"q{i}": dict(zip(rng.permutation(docs)[:1000], rng.normal(size=1000), strict=True)) for i in range(20)}
    qrels = {q: {str(d): int(rng.integers(0, 5)) for d in rng.permutation(docs)[:200]} for q in scored}
    ours, reference = (
        evaluate(Run.from_dict(scored), qrels, settings_of(name), engine) for engine in ("numpy", "ranx")
    )
    for measure, values in reference.values.items():
        np.testing.assert_allclose(ours.values[measure], values, rtol=1e-12, err_msg=measure)
