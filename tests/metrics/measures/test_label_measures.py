"""Label measures parse from the text that they print, know their direction, and equal scipy and hand-made values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ltr.errors import ConfigError
from ltr.metrics import focus_measures
from ltr.metrics.measures.label_measures import LABEL_KINDS, LabelMeasure
from ltr.metrics.measures.measure import Measure, measures, of_rankings, parse

TEXTS = ["rmse", "mae_top.2", "spearman_rest.05", "kendall", "precision_top.125", "ndcg_label@10", "ndcg_label"]
TEXTS += ["ndcg_pooled@100", "rmse_rest.5", "kendall_top.1"]

RNG = np.random.default_rng(3)
LABELS = RNG.gamma(2.0, 30.0, 205).round()  # with ties
PREDICTIONS = (LABELS + RNG.normal(0, 30, 205)).round()


@pytest.mark.parametrize("text", TEXTS)
def test_prints_what_it_was_parsed_from(text):
    assert str(LabelMeasure.parse(text)) == text
    assert parse(text) == LabelMeasure.parse(LabelMeasure.parse(text)) == parse(parse(text))


@given(st.sampled_from(sorted(LABEL_KINDS)), st.integers(0, 5000), st.integers(1, 999))
def test_every_measure_survives_its_text(name, cutoff, thousandths):
    kind = LABEL_KINDS[name]
    measure = LabelMeasure(name, thousandths / 1000 if kind.region else None, cutoff if kind.cutoff else 0)
    assert parse(str(measure)) == measure


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rmsee", r"no measure of labels 'rmsee'; did you mean 'rmse'\?"),
        (
            "rmse_top",
            r"rmse_top needs the share of the labels in focus, between 0 and 1, such as rmse_top.2 .* got None",
        ),
        ("rmse_top.0", r"needs the share of the labels in focus, .* got 0"),
        ("rmse.2", r"measure rmse takes no share, got 0.2; only _top and _rest do"),
        ("precision_top.2@5", "measure precision_top takes no cutoff, got @5"),
        ("ndcg_label@0", "the cutoff must be at least 1"),
        ("rmse-l2", "measure rmse-l2: labels have no relevance level; leave -l2 out"),
        ("rmse@ten", r"no measure 'rmse@ten': write name, .*did you mean 'rmse'\?"),
    ],
)
def test_what_is_no_label_measure(text, message):
    with pytest.raises(ConfigError, match=message):
        LabelMeasure.parse(text)


def test_a_negative_cutoff():
    with pytest.raises(ConfigError, match="measure ndcg_label takes a cutoff of at least 1, got @-1"):
        LabelMeasure("ndcg_label", cutoff=-1)


def test_both_sorts_stand_in_one_list():
    assert measures(["mrr", "rmse_top.2", "mrr", LabelMeasure("rmse_top", 0.2)]) == [
        Measure("mrr"),
        LabelMeasure("rmse_top", 0.2),
    ]
    assert measures(LabelMeasure("rmse")) == [LabelMeasure("rmse")]
    for text, near in (("spaerman", "spearman"), ("mse", "rmse"), ("tau", "kendall"), ("ndgc_label@5", "ndcg_label")):
        with pytest.raises(ConfigError, match=f"did you mean '{near}'"):
            measures([text])


def test_rankings_are_not_measured_against_labels():
    with pytest.raises(
        ConfigError, match=r"measure rmse_top.2 compares predictions with real-valued labels, not rankings"
    ):
        of_rankings(["mrr", "rmse_top.2"])
    assert of_rankings("mrr") == [Measure("mrr")]


def test_direction():
    smaller = {name for name in LABEL_KINDS if name.startswith(("rmse", "mae", "regret"))}
    for name, kind in LABEL_KINDS.items():
        assert kind.larger_is_better == (name not in smaller)
    assert not LabelMeasure.parse("mae_rest.2").larger_is_better
    assert LabelMeasure.parse("precision_top.2").larger_is_better
    assert Measure.parse("mrr").larger_is_better
    assert [m.per_query for m in measures(["mrr", "ndcg_label@5", "ndcg_pooled@5", "rmse"])] == [
        True,
        True,
        False,
        False,
    ]


def value(text, p=PREDICTIONS, y=LABELS, gains=None):
    return LabelMeasure.parse(text).pooled(p, y, y if gains is None else gains)


def test_r2_by_hand():
    """Labels 0, 2, 4 about their mean 2: 8 squared in all; predictions miss by 1, 0 and 2: 5."""
    labels = np.array([0.0, 2.0, 4.0])
    assert value("r2", np.array([1.0, 2.0, 6.0]), labels) == 1 - 5 / 8
    assert value("r2", labels, labels) == 1
    assert value("r2", np.full(3, 2.0), labels) == 0
    assert value("r2", np.full(3, 4.0), labels) == 1 - 20 / 8, "worse than the mean"
    assert math.isnan(value("r2", labels, np.ones(3)))
    assert LabelMeasure.parse("r2").larger_is_better
    with pytest.raises(ConfigError, match=r"measure r2 takes no share, got 0.2"):
        LabelMeasure.parse("r2.2")


def test_regions_agree_with_scipy():
    bar = np.sort(LABELS)[::-1][40]  # 41 = 20 % of 205
    for region, part in (("", LABELS >= 0), ("_top.2", bar <= LABELS), ("_rest.2", bar > LABELS)):
        p, y = PREDICTIONS[part], LABELS[part]
        assert value(f"rmse{region}") == pytest.approx(math.sqrt(np.mean((p - y) ** 2)))
        assert value(f"mae{region}") == pytest.approx(np.mean(np.abs(p - y)))
        assert value(f"spearman{region}") == pytest.approx(stats.spearmanr(p, y).statistic)
        assert value(f"kendall{region}") == pytest.approx(stats.kendalltau(p, y).statistic)


def test_they_are_the_measures_of_the_focus_region():
    for name, expected in focus_measures(PREDICTIONS, LABELS, 0.3).items():
        assert value(f"{name}.3") == expected


def test_a_whole_number_of_documents_is_not_rounded_up():
    # 0.2 * 15 is 3.0000000000000004: three documents, not four
    labels = np.arange(15.0)
    assert value("mae_top.2", np.zeros(15), labels) == 13.0


def test_by_hand():
    p, y = np.array([3.0, 1.0, 2.0, 5.0]), np.array([1.0, 2.0, 3.0, 4.0])
    assert value("rmse_top.5", p, y) == 1.0  # errors -1 and 1
    assert value("mae_rest.5", p, y) == 1.5  # errors 2 and -1
    assert value("precision_top.5", p, y) == 0.5  # 5 is right, 3 is not
    assert value("spearman", p, y) == pytest.approx(1 - 6 * (4 + 1 + 1 + 0) / (4 * 15))
    assert value("kendall", p, y) == pytest.approx((4 - 2) / 6)
    gains = np.array([0.0, 1.0, 2.0, 6.0])
    ideal = 6 + 2 / math.log2(3)
    assert value("ndcg_pooled@2", p, y, gains) == pytest.approx((6 + 0 / math.log2(3)) / ideal)
    assert value("ndcg_pooled", p, y, gains) == pytest.approx(
        (6 + 0 + 2 / 2 + 1 / math.log2(5)) / (6 + 2 / math.log2(3) + 1 / 2)
    )


def test_what_is_undefined_is_nan():
    constant = np.ones(205)
    for text in ("spearman", "kendall", "spearman_top.2", "kendall_rest.2"):
        assert math.isnan(value(text, constant))
    for text in ("rmse_rest.2", "mae_rest.2", "spearman_rest.2"):
        assert math.isnan(value(text, PREDICTIONS, constant))
    assert value("precision_top.2", constant, np.arange(205.0)) == pytest.approx(0.2)
