"""Shipped configurations are found by name, from any folder."""

import configparser
from pathlib import Path

import pytest

import ltr
from ltr.errors import DataError
from ltr.io.recipes import configuration, home, recipe, shipped


def test_a_recipe_is_found_by_name():
    assert recipe("pydocs").name == "pydocs.yaml"
    assert recipe("loss/matching") == home() / "loss" / "matching.yaml"


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(DataError, match=r"^recipe 'pydoc': did you mean 'pydocs'\?; ltr recipes lists them"):
        recipe("pydoc")


def test_recipes_that_were_not_installed_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(ltr, "__file__", str(tmp_path / "ltr" / "__init__.py"))
    monkeypatch.setattr("sys.prefix", str(tmp_path / "prefix"))
    with pytest.raises(
        DataError, match=r"^recipes: found neither .*configs nor .*prefix.*; install ltr anew, or run from"
    ):
        recipe("pydocs")


def test_a_wheel_carries_every_folder_of_configurations():
    setup = configparser.ConfigParser()
    setup.read(Path(ltr.__file__).parents[1] / "setup.cfg")
    carried = dict(setup["options.data_files"])
    for path in shipped().values():
        assert carried[f"share/ltr/configs/{path.parent.name}"] == f"configs/{path.parent.name}/*.yaml"


@pytest.mark.parametrize(("name", "folder"), [("folder", ""), ("loss/matching", ""), ("quick", "benchmarks/")])
def test_a_name_stands_for_its_file(name, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert configuration(name, folder) == str(recipe(folder + name))
    (tmp_path / name).mkdir(parents=True)  # a folder of that name is none
    assert configuration(name, folder) == str(recipe(folder + name))
    (tmp_path / name).rmdir()
    (tmp_path / name).write_text("a file is")
    assert configuration(name, folder) == name


def test_what_can_only_be_a_path_is_left_to_its_reader(tmp_path):
    for name in ("none.yaml", "nowhere/none.yaml", "/dev/null", str(tmp_path / "none"), ""):
        assert configuration(name) == name
    for name, nearest in (("foldr", "folder"), ("loss/matchin", "loss/matching")):
        with pytest.raises(
            DataError, match=rf"no file {name}, and no shipped .* name; did you mean '{nearest}'\?; ltr rec"
        ):
            configuration(name)
