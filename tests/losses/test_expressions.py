"""Expressions on the command line are read, never run."""

from __future__ import annotations

import pytest

from ltr.errors import ConfigError
from ltr.links import Exp, Identity, Numeric, Piecewise, Sigmoid, Sum
from ltr.losses.expressions import known_names, value_of
from tests.links.cases import LINKS
from tests.losses.cases import LOSSES, made


@pytest.mark.parametrize("link", LINKS, ids=repr)
def test_reads_back_what_a_link_prints(link):
    assert value_of(repr(link)) == link


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Sigmoid(-2, scale=+3)", Sigmoid(center=-2.0, scale=3.0)),
        ("Sigmoid.focus(range=(1, 3))", Sigmoid.focus(range=(1, 3))),
        ("2 * (Exp() + Identity()) * 0.5", Sum((Exp(), Identity())) * 2 * 0.5),
        (" Piecewise([0], (0, 1)) ", Piecewise((0.0,), (0.0, 1.0))),
        ("Numeric('torch:asinh', convex=False)", Numeric("torch:asinh")),
    ],
)
def test_reads_links(text, value):
    assert value_of(text) == value


@pytest.mark.parametrize("text", LOSSES)
def test_reads_losses_and_what_they_print(text):
    loss = value_of(text)
    assert repr(loss) == repr(made(text))
    assert repr(value_of(repr(loss))) == repr(loss)


def test_knows_classes_only():
    names = known_names()
    assert {"Sigmoid", "RankNet", "Scores", "Uniform"} <= set(names)
    assert not {"Loss", "Link", "Laws", "FAMILIES", "dead_share"} & set(names)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Sigmoid(", "expression 'Sigmoid(' must be Python such as 'Sigmoid(center=2)': "),
        ("Sigmiod()", "no link or loss 'Sigmiod'; did you mean 'Sigmoid'?"),
        ("Sigmoid", "write Sigmoid(...), with parentheses"),
        (
            "Sigmoid(centre=2)",
            "got an unexpected keyword argument 'centre'; it is Sigmoid(center=0.0, width=1.0, scale=1.0)",
        ),
        ("Matching()", "missing a required argument: 'link'; it is Matching(link, targets=Scores(), reduction='mean')"),
        ("Sigmoid(width=-1)", "Sigmoid: width must be positive, got -1"),
        ("__import__('os').system('true')", "is not a known link or loss"),
        ("Sigmoid.__init__()", "is not a known link or loss"),
        ("RankNet.focus()", "is not a known link or loss"),
        ("Sigmoid(**{'center': 1})", "is not a known link or loss"),
        ("(lambda: 1)()", "is not a known link or loss"),
        ("[x for x in (1,)]", "only links and losses with literal arguments, + and * are read"),
        ("Sigmoid(center=1 if 2 else 3)", "only links and losses with literal arguments"),
        ("Exp() - Exp()", "only links and losses with literal arguments, + and * are read, got 'Exp() - Exp()'"),
        ("Exp() + 1", "+ adds links, got 'Exp() + 1'"),
        ("Exp() * Exp()", "* multiplies a link by a number"),
        ("2 * 3", "* multiplies a link by a number, got '2 * 3'"),
        ("'a' * Exp()", "* multiplies a link by a number"),
        ("-Exp()", "a sign belongs before a number, got '-Exp()'"),
    ],
)
def test_refuses(text, sentence):
    with pytest.raises(ConfigError) as error:
        value_of(text)
    assert sentence in str(error.value)
