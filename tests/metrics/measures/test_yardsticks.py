"""What knows nothing: a constant by errors, a random order by everything that ranks."""

import math
from itertools import permutations

import numpy as np
import pytest

from ltr.metrics import LabelledLists, LabelMeasure, evaluate_labels
from ltr.metrics.measures.yardsticks import CONSTANT, RANDOM, yardsticks

TRUTH = LabelledLists(["a"], [0, 4], [3.0, 1.0, 0.0, 0.0], [7.0, 1.0, 0.0, 0.0])
TEXTS = ["rmse", "r2", "mae_top.25", "spearman", "kendall", "precision_top.25", "ndcg_label@2", "ndcg_pooled"]


def test_each_yardstick_has_the_measures_that_tell_something_of_it():
    constant, order = yardsticks(TRUTH, [LabelMeasure.parse(text) for text in TEXTS], mean=1.0)
    assert (constant.run, order.run) == (CONSTANT, RANDOM)
    assert constant.means == {"rmse": math.sqrt(6 / 4), "r2": 0.0, "mae_top.25": 2.0}
    assert list(order.means) == TEXTS[3:]


@pytest.mark.parametrize("text", TEXTS[3:])
def test_a_random_order_is_the_mean_over_all_orders(text):
    (order,) = yardsticks(TRUTH, [LabelMeasure.parse(text)], mean=1.0)
    all_orders = [evaluate_labels(np.array(p, float), TRUTH, text)[text] for p in permutations(range(4))]
    assert order.means[text] == pytest.approx(np.mean(all_orders), abs=1e-12)


def test_what_is_undefined_for_every_order_stays_so():
    flat = LabelledLists(["a"], [0, 2], [1.0, 1.0])
    (order,) = yardsticks(flat, [LabelMeasure("spearman")])
    assert math.isnan(order.means["spearman"])


def test_without_a_mean_there_is_no_constant():
    assert [e.run for e in yardsticks(TRUTH, [LabelMeasure("rmse"), LabelMeasure("spearman")])] == [RANDOM]
    assert yardsticks(TRUTH, []) == []
