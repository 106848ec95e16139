"""A focus on one end of the training labels becomes a link with numbers once these are known."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from ltr.errors import ConfigError
from ltr.expressions import mapping_of, sample_of, settled_mapping, text_of, value_of
from ltr.links import Exp, Identity, Piecewise, Sigmoid
from ltr.links.from_labels import FocusOnLabels

LABELS = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def known():
    return LABELS


def nobody():
    raise AssertionError("nobody asked for the labels")


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("Exp.focus(top=0.2)", Exp.focus(range=(4.0, 5.0))),
        ("Sigmoid.focus(bottom=0.4, scale=3.0)", Sigmoid.focus(range=(0.0, 2.0), scale=3.0)),
        ("Piecewise.focus(top=0.6)", Piecewise.focus(range=(2.0, 5.0))),
        (
            "2.0 * Exp.focus(top=0.2) + 0.1 * Identity()",
            2.0 * Exp.focus(range=(4.0, 5.0)) + 0.1 * Identity(),
        ),
    ],
)
def test_the_range_is_that_of_the_labels(text, link):
    assert value_of(text, labels=known) == link
    assert text_of(mapping_of(text)) == text  # what is not settled is written as it was said
    loss = value_of(f"Matching({text})", labels=lambda: np.array(LABELS, np.float32))
    assert loss.link == link
    assert repr(value_of(repr(loss))) == repr(loss)
    by_mapping = value_of(settled_mapping(mapping_of(f"Matching({text})"), known))
    assert by_mapping.link == link


def test_what_was_taken_is_told(caplog):
    with caplog.at_level(logging.INFO, "ltr"):
        link = value_of("Exp.focus(top=0.2)", labels=known)
    assert caplog.messages == [
        f"focus: {link!r} from the training labels, the top 20 % of which (of 6) lie from 4 to 5"
    ]


def test_grades_are_the_scores_that_they_stand_for():
    loss = value_of("Matching(Exp.focus(top=0.5), targets=Grades([0, 10, 40]))", labels=lambda: [0.0, 1.0, 2.0])
    assert loss.link == Exp.focus(range=(10.0, 40.0))
    loss = value_of("CompositeSoftmax(Exp.focus(top=0.2), targets=Scores())", labels=known)
    assert loss.transform == Exp.focus(range=(4.0, 5.0))


def test_labels_are_asked_for_only_where_a_link_waits():
    source = mapping_of("Matching(Exp())")
    assert settled_mapping(source, nobody) is source
    assert value_of("Matching(Exp())", labels=nobody).link == Exp()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Matching(Exp.focus(top=0.2), targets=Dual())",
            r"Dual does not read as scores; give range=\(low, high\) of sc",
        ),
        (
            "DifferenceMatching(Exp.focus(top=0.2))",
            "range=.low, high. of what its link looks at.* differences of two in Dif",
        ),
        (
            "CompositeContrast(Exp.focus(top=0.2))",
            "a loss over pairs brings its scores to no unit of theirs; .*: scores, or",
        ),
        ("Matching(RunningCenter(Exp.focus(top=0.2)))", "its link stands beside a centre that moves"),
        ("Identity.focus(top=0.2)", "Identity.focus: Identity is equally steep everywhere"),
        ("Exp.focus(top=2)", "top and bottom are shares between 0 and 1, got 2"),
        ("Exp.focus(top=0.2, bottom=0.2)", "give one of top= and bottom="),
        ("Exp.focus()", "give either range="),
    ],
)
def test_what_cannot_be_is_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        value_of(text, labels=known)
    with pytest.raises(ConfigError, match=said):  # before any labels are there
        sample_of(text)


def test_before_labels_are_there_a_range_stands_in_and_nothing_is_told(caplog):
    with caplog.at_level(logging.INFO, "ltr"):
        loss = sample_of("Matching(Exp.focus(top=0.2), targets=Grades([0, 0, 5]))")  # two grades are worth the same
    assert loss.link == Exp.focus(scores=[0.0, 1.0], top=0.2)
    assert caplog.messages == []


def test_without_labels_the_reason_is_told():
    with pytest.raises(ConfigError, match=r"Exp.focus\(top=0.2\) takes its range from training labels, which ltr fit"):
        value_of("Matching(Exp.focus(top=0.2))")
    with pytest.raises(ConfigError, match=r"Exp.focus\(bottom=0.2\) takes its range"):
        FocusOnLabels("Exp", bottom=0.2)
    with pytest.raises(ConfigError, match=r"the top 0.2 of the 3 scores must spread over a range"):
        value_of("Exp.focus(top=0.2)", labels=lambda: [1.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("kind", "said"), [("evil.mod.Link", "is not imported"), ("ListNet", "kind is a link such as")]
)
def test_a_mapping_from_elsewhere_chooses_no_import(kind, said):
    source = {"class_path": "ltr.links.from_labels.FocusOnLabels", "init_args": {"kind": kind, "top": 0.2}}
    with pytest.raises(ConfigError, match=said):
        value_of(source, labels=known)
