"""Measures parse from the text that they print, and names that do not exist are met with the nearest that does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.errors import ConfigError
from ltr.metrics.measures.measure import KINDS, Measure, measures

TEXTS = [
    "ndcg@10",
    "ndcg_burges@5",
    "mrr",
    "map@100",
    "rbp.95",
    "rbp.5-l2",
    "recall@1000",
    "precision-l2@5",
    "r-precision",
    "rbp.00001",
    "rbp.9999999999999999",
]
TEXTS += ["r-precision-l3", "bpref", "f1@1", "hits", "hit_rate@20", "dcg", "dcg_burges-l2@3"]


@pytest.mark.parametrize("text", TEXTS)
def test_prints_what_it_was_parsed_from(text):
    assert str(Measure.parse(text)) == text
    assert Measure.parse(Measure.parse(text)) == Measure.parse(text)


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 5000), st.integers(1, 9), st.integers(1, 999))
def test_every_measure_survives_its_text(name, cutoff, level, thousandths):
    measure = Measure(
        name,
        cutoff if KINDS[name].cutoff else 0,
        level,
        thousandths / 1000 if name == "rbp" else None,
    )
    assert Measure.parse(str(measure)) == measure


def test_the_order_that_ranx_takes_means_the_same():
    assert Measure.parse("precision@5-l2") == Measure.parse(" Precision-L2@5 ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ndgc@10", r"no measure 'ndgc'; did you mean 'ndcg'\?"),
        ("recip_rank", r"no measure 'recip_rank'; did you mean 'mrr'\?"),
        ("P@5", r"no measure 'p'; did you mean 'precision'\?"),
        ("ndcg_cut_10", r"did you mean 'ndcg@10'\?"),
        ("xyz", "no measure 'xyz'; known: best_of, bpref, dcg"),
        ("ndcg@ten", r"no measure 'ndcg@ten': write name, .* did you mean 'ndcg'\?"),
        ("ndcg-l2@5-l3", "no measure 'ndcg-l2@5-l3': write name"),
        ("", "no measure"),
        ("ndcg@0", "the cutoff must be at least 1"),
        ("ndcg@" + 5000 * "9", r"measure ndcg@9+\.\.\.: a cutoff or level has at most 12 digits, got 5000"),
        ("mrr-l" + 5000 * "9", "a cutoff or level has at most 12 digits, got 5000"),
        ("ndcg@\u0661", "no measure 'ndcg@\u0661': write name"),
        ("bpref@10", "measure bpref takes no cutoff, got @10"),
        ("precision-l0@5", "measure precision: the relevance level must be at least 1, got 0"),
        ("rbp", r"measure rbp needs a persistence between 0 and 1, such as rbp.95"),
        ("rbp.0", "measure rbp needs a persistence between 0 and 1"),
        ("mrr.5", "measure mrr takes no persistence, got 0.5; only rbp does"),
    ],
)
def test_what_is_no_measure(text, message):
    with pytest.raises(ConfigError, match=message):
        Measure.parse(text)


def test_a_negative_cutoff():
    with pytest.raises(ConfigError, match="measure ndcg takes a cutoff of at least 1, got @-1"):
        Measure("ndcg", -1)


def test_several_measures_each_once():
    assert [str(m) for m in measures(["mrr", Measure("ndcg", 10), "ndcg@10"])] == ["mrr", "ndcg@10"]
    assert measures("mrr") == measures(Measure("mrr")) == [Measure("mrr")]
    with pytest.raises(ConfigError, match="no measure given; name at least one, such as ndcg@10"):
        measures([])
