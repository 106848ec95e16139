import os
from pathlib import Path

import pytest

from ltr.errors import DataError
from ltr.io.caching.cache_folder import cache_folder
from ltr.io.caching.datasets_home import find_datasets_home


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    monkeypatch.setenv("IR_DATASETS_HOME", "")  # so that it is put back
    monkeypatch.delenv("IR_DATASETS_HOME")


def test_a_home_that_can_be_written_is_the_usual_one(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    find_datasets_home()
    assert (tmp_path / ".ir_datasets").is_dir()
    assert "IR_DATASETS_HOME" not in os.environ


def test_elsewhere_it_is_the_cache(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    find_datasets_home()
    assert os.environ["IR_DATASETS_HOME"] == str(cache_folder("ir_datasets"))


def test_what_is_set_has_the_last_word(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setenv("IR_DATASETS_HOME", "elsewhere")
    find_datasets_home()
    assert os.environ["IR_DATASETS_HOME"] == "elsewhere"


def test_no_home_at_all_is_a_sentence(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(DataError, match=r"there is no home folder .*: set HOME"):
        find_datasets_home()


def test_a_cache_without_a_home_is_a_sentence(monkeypatch):
    monkeypatch.delenv("LTR_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(DataError, match="the user has no home folder; set LTR_CACHE"):
        cache_folder("x")
