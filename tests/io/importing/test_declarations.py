"""Signatures from source are those that Python sees."""

import inspect

import pytest

import ltr.links
import ltr.losses
from ltr.io.importing.declarations import declared, exported, source_of

CLASSES = [(home, name) for home in (ltr.links, ltr.losses) for name in exported(home.__name__)]


@pytest.mark.parametrize(("home", "name"), CLASSES, ids=[name for _, name in CLASSES])
def test_parameters_and_text_of_a_class(home, name):
    found = getattr(home, name)
    told = declared(home.__name__, name)
    assert told.doc == inspect.getdoc(found)
    given = inspect.signature(found).parameters if name not in ("Link",) else {}
    assert list(told.parameters) == list(given)
    required = [n for n, p in given.items() if p.default is p.empty]
    assert [n for n, default in told.parameters.items() if default is None] == required


def test_every_public_class_is_exported():
    for home in (ltr.links, ltr.losses):
        classes = {n for n in home.__all__ if inspect.isclass(getattr(home, n))}
        assert set(exported(home.__name__)) == classes


def test_defaults_are_written_as_what_they_stand_for():
    assert declared("ltr.losses", "BCE").parameters == {"targets": "Dual()", "reduction": "'mean'"}
    assert declared("ltr.losses", "CompositeSoftmax").signature == (
        "transform, form='proper', targets=Scores(), reduction='mean'"
    )
    assert declared("ltr.links", "Numeric").signature == "function, convex=False, low=-inf, high=inf"


def test_helps_are_one_line_each():
    helps = declared("ltr.links", "Link").helps
    assert helps == {}
    assert declared("ltr.losses", "RunningCenter").helps["momentum"] == (
        "how much of c stays at each batch, in [0, 1); 0.99 averages over about a hundred batches."
    )


def test_what_is_not_there():
    with pytest.raises(KeyError, match=r"ltr\.links has no class Sigmod"):
        declared("ltr.links", "Sigmod")
    with pytest.raises(ModuleNotFoundError, match=r"no source of ltr\.nothing\.here"):
        source_of("ltr.nothing.here")
