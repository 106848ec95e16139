"""Shipped recipes are found by name."""

import pytest

import ltr
from ltr.errors import DataError
from ltr.io.recipes import recipe


def test_a_recipe_is_found_by_name():
    assert recipe("pydocs").name == "pydocs.yaml"


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(DataError, match=r"^recipe 'pydoc': did you mean 'pydocs'\?"):
        recipe("pydoc")


def test_recipes_that_were_not_installed_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(ltr, "__file__", str(tmp_path / "ltr" / "__init__.py"))
    monkeypatch.setattr("sys.prefix", str(tmp_path / "prefix"))
    with pytest.raises(
        DataError, match=r"^recipe 'pydocs': found neither .*configs.* nor .*prefix.*; run from a checkout"
    ):
        recipe("pydocs")
