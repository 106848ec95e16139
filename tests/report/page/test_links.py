"""The links of losses are found, and drawn where they bend."""

from __future__ import annotations

from ltr.links import Exp, Identity, Numeric, Sigmoid
from ltr.losses import BCE, CompositeSoftmax, DifferenceMatching, LambdaRank, Matching, RunningCenter
from ltr.report.charts.links_and_losses import draw_links
from ltr.report.page.links import link_pictures, score_range


def test_only_selective_losses_have_pictures_and_equal_links_share_one():
    losses = {
        "a": CompositeSoftmax(Exp()),
        "b": LambdaRank(),
        "c": Matching(Exp()),
        "d": DifferenceMatching(Sigmoid()),
        "e": BCE(),
    }
    first, second = link_pictures(losses)
    assert first.label == "a, c"
    assert first.expression.split("\n") == [repr(losses["a"]), repr(losses["c"])]
    assert first.links == [Exp()]
    assert second.label == "d (link of score differences)"
    assert second.range == (-4.0, 4.0)


def test_a_running_centre_is_drawn_where_its_link_starts():
    (picture,) = link_pictures({"a": CompositeSoftmax(RunningCenter(Sigmoid(center=1.0)))})
    assert picture.range == (-3.0, 5.0)
    assert len(draw_links(picture.links, picture.range).axes) == 3


def test_scores_hold_every_centre_with_four_widths_and_the_neighbourhood_of_0():
    assert score_range([Sigmoid(center=2.0) + 0.1 * Identity(), Exp(center=-6.0, width=0.5)]) == (-8.0, 6.0)
    assert score_range([Numeric("torch:asinh")]) == (-3.0, 3.0)
    assert score_range([]) == (-3.0, 3.0)
