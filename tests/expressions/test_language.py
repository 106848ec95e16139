"""Expressions on the command line are read, never run."""

from __future__ import annotations

import sys

import pytest

from ltr.errors import ConfigError
from ltr.expressions import known_names, mapping_of, packages_in, text_of, value_of
from ltr.expressions.language import read
from ltr.links import Exp, Identity, Numeric, Piecewise, Sigmoid, Sum
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


@pytest.mark.parametrize("link", LINKS, ids=repr)
def test_a_link_is_written_as_text_and_as_a_mapping(link):
    assert value_of(text_of(link)) == link
    assert value_of(mapping_of(repr(link))) == link
    assert text_of(mapping_of(repr(link))) == text_of(mapping_of(text_of(link)))


@pytest.mark.parametrize("text", LOSSES)
def test_a_loss_is_written_as_text_and_as_a_mapping(text):
    loss = made(text)
    for again in (value_of(text_of(loss)), value_of(mapping_of(text)), value_of(text_of(mapping_of(text)))):
        assert repr(again) == repr(loss)


@pytest.mark.parametrize("text", LOSSES)
def test_explicit_text_is_what_a_loss_prints(text):
    assert text_of(made(text), explicit=True) == repr(made(text))


def test_explicit_text_shows_tuples_and_modules(own):
    loss = value_of(f"{own}.Mine(alpha=2)", packages=None)
    assert text_of(loss, explicit=True) == f"{own}.Mine(alpha=2, link=Identity())"
    assert text_of(Piecewise([0], (0, 1)), explicit=True) == "Piecewise(knots=(0.0,), slopes=(0.0, 1.0))"


def test_text_leaves_out_defaults_and_names_that_are_not_needed():
    text = "CompositeSoftmax(Identity() + 0.5 * (Softplus(center=1.0) + Exp()), targets=Positives())"
    assert text_of(value_of(text)) == text_of(mapping_of(text)) == text


def test_mappings_are_what_configurations_write():
    assert mapping_of("Matching(2 * Exp(width=1.5) + Identity(), Dual(normalised=True))") == {
        "class_path": "ltr.losses.Matching",
        "init_args": {
            "link": {
                "class_path": "ltr.links.Sum",
                "init_args": {
                    "parts": [
                        {
                            "class_path": "ltr.links.Scaled",
                            "init_args": {
                                "link": {"class_path": "ltr.links.Exp", "init_args": {"width": 1.5}},
                                "factor": 2,
                            },
                        },
                        {"class_path": "ltr.links.Identity"},
                    ]
                },
            },
            "targets": {"class_path": "ltr.losses.Dual", "init_args": {"normalised": True}},
        },
    }


def test_a_mapping_holds_expressions_and_short_names():
    mixed = {
        "class_path": "Matching",
        "init_args": {"link": "Identity() + 2 * Exp()", "targets": {"class_path": "Dual"}},
    }
    assert repr(value_of(mixed)) == repr(value_of("Matching(Identity() + 2 * Exp(), Dual())"))


def test_places_of_a_search_are_kept():
    text = "Matching({factor} * Exp(width={w}) + Identity())"
    assert text_of(mapping_of(text)) == text
    nested = {"class_path": "Matching", "init_args": {"link": {"class_path": "Exp", "init_args": {"width": "{w}"}}}}
    assert text_of(nested) == "Matching(Exp(width={w}))"


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        ({"class_path": "Matchin"}, "no link or loss 'Matchin'; did you mean 'Matching'?"),
        ({"class_path": "Exp", "init_args": {"witdh": 1}}, "Exp takes no 'witdh'; did you mean 'width'?"),
        ({"class_path": "Exp", "init_arg": {}}, "beside class_path stands init_args, got 'init_arg'"),
        ({"class_path": "Exp", "init_args": [1]}, "class_path is a name and init_args is a mapping, got 'Exp' and [1]"),
        (
            {"loss": "Exp"},
            "an expression such as ListNet(), or class_path and init_args are needed, got {'loss': 'Exp'}",
        ),
    ],
)
def test_refuses_mappings(mapping, sentence):
    with pytest.raises(ConfigError) as error:
        value_of(mapping)
    assert sentence in str(error.value)


OWN = """
from dataclasses import dataclass
import torch
from ltr.links import Identity
from ltr.losses import Loss
from ltr.losses.targets import Targets

class Mine(Loss):
    def __init__(self, alpha=1.0, link=Identity(), **more):
        super().__init__()
        if alpha == 0:
            raise RuntimeError("alpha is 0")
        self.alpha, self.link = alpha, link

    def costs(self, scores, labels, mask):
        return self.alpha * (scores - labels).square().sum(-1)

class Forgetful(Mine):
    def __init__(self, alpha=1.0):
        Loss.__init__(self)

@dataclass(frozen=True)
class Own(Targets):
    share: float = 0.5

def steep(z):
    return torch.asinh(z)

class Plain:
    pass
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's own in the current folder; its name."""
    name = "own_for_expressions"
    (tmp_path / f"{name}.py").write_text(OWN)
    (tmp_path / "broken_for_expressions.py").write_text("import math\n\n1 / 0\n")
    (tmp_path / "misspelt_for_expressions.py").write_text("x = (\n")
    (tmp_path / "needy_for_expressions.py").write_text("import not_there_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    yield name
    sys.modules.pop(name, None)


def test_a_class_of_the_users_own_is_read_and_written(own):
    text = f"{own}.Mine(alpha=2, link=Exp())"
    loss = value_of(text, packages=None)
    assert (type(loss).__module__, loss.alpha, loss.link) == (own, 2, Exp())
    assert text_of(loss) == text_of(mapping_of(text, packages={own}), packages={own}) == text
    assert mapping_of(text, None)["class_path"] == f"{own}.Mine"
    assert value_of(f"Numeric('{own}:steep')", packages=None)(1.0) > 0
    assert text_of(value_of(f"{own}.Own(share=0.25)", None)) == f"{own}.Own(share=0.25)"
    assert mapping_of(f"{own}.Mine(beta=3)", None)["init_args"] == {"beta": 3}


def test_text_from_elsewhere_chooses_no_imports(own):
    for text in (f"{own}.Mine()", f"Matching({own}.Own())", f"Numeric('{own}:steep')"):
        with pytest.raises(
            ConfigError, match="is not imported: only a command line, a spec or a configuration of yours"
        ):
            value_of(text)
    assert own not in sys.modules
    assert packages_in(f"Matching({own}.Own(), Numeric('shapes:f'))") == {own, "shapes"}
    assert value_of(f"{own}.Mine()", packages=packages_in(f"{own}.Mine()")).alpha == 1.0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mylib.Mine()", "character 1: No module named 'mylib': there is no 'mylib.Mine'; is it in the current folder"),
        ("ltr.losses.LambdaRnk()", "module 'ltr.losses' has no 'LambdaRnk'; did you mean 'LambdaRank'?"),
        ("OWN.Mien()", "module 'OWN' has no 'Mien'; did you mean 'Mine'?"),
        ("OWN.Plain()", "OWN.Plain derives from no class of ltr"),
        ("OWN.steep()", "OWN.steep must be a class, got the function"),
        ("subprocess.Popen(['true'])", "subprocess.Popen derives from no class of ltr"),
        ("OWN.Mine(alpha=0)", "OWN.Mine(alpha=0) cannot be made: RuntimeError: alpha is 0"),
        ("OWN.Mine(1, 2, 3)", "too many positional arguments; it is OWN.Mine(alpha=1.0, link=Identity(), more)"),
        (
            "broken_for_expressions.Mine()",
            "ZeroDivisionError: division by zero (TMP/broken_for_expressions.py:3): there",
        ),
        ("misspelt_for_expressions.Mine()", "SyntaxError: '(' was never closed (TMP/misspelt_for_expressions.py:1)"),
        ("needy_for_expressions.Mine()", "No module named 'not_there_at_all', which 'needy_for_expressions' imports"),
    ],
)
def test_says_the_reason_first(text, sentence, own, tmp_path):
    with pytest.raises(ConfigError) as error:
        value_of(text.replace("OWN", own), packages=None)
    assert sentence.replace("OWN", own).replace("TMP", str(tmp_path)) in str(error.value)


def test_an_argument_that_is_not_kept_cannot_be_written(own):
    with pytest.raises(
        ConfigError, match=r"Forgetful cannot be written down: it keeps no 'alpha'; let __init__ set self"
    ):
        text_of(value_of(f"{own}.Forgetful()", None))


def test_knows_classes_only():
    names = known_names()
    assert {"Sigmoid", "RankNet", "Scores", "Uniform"} <= set(names)
    assert not {"Loss", "PairLoss", "PairWeights", "Targets", "Link", "Laws", "FAMILIES", "dead_share"} & set(names)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Sigmoid(", "expression 'Sigmoid(' must be Python such as 'Sigmoid(center=2)': "),
        ("Sigmiod()", "no link or loss 'Sigmiod'; did you mean 'Sigmoid'?"),
        ("Sigmoid", "write Sigmoid(...), with parentheses"),
        (
            "Sigmoid(centre=2)",
            "expression 'Sigmoid(centre=2)', character 16: Sigmoid takes no 'centre'; did you mean 'center'?",
        ),
        ("Matching()", "missing a required argument: 'link'; it is Matching(link, targets=Scores(), reduction='mean')"),
        ("Exp(qqq=2)", "Exp takes no 'qqq'; it is Exp(center=0.0, width=1.0, scale=1.0, tail=10.0)"),
        (
            "Matching(Exp() +\n Sigmod())",
            r"+\n Sigmod())', character 19: no link or loss 'Sigmod'; did you mean 'Sigmoid'?",
        ),
        ("Numeric('é', high=Sigmod())", "character 19: no link or loss 'Sigmod'"),
        ("Matching({center})", "{center} stands for a value that a search gives, which there is none of here"),
        ("Sum(parts=[Exp(), 'x', {'a': inf}])", "Sum: parts must be a list of links, got [Exp(), 'x', {'a': inf}]"),
        ("(" * 500, "must be Python such as 'Sigmoid(center=2)'"),
        ("\0", "must be Python such as 'Sigmoid(center=2)'"),
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


def test_a_mapping_on_the_command_line_may_write_numbers_with_an_exponent_alone():
    assert read("{class_path: Exp, init_args: {width: 5e-1}}") == {"class_path": "Exp", "init_args": {"width": 0.5}}
