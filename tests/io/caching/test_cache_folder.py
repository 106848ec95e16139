"""Where the user's cache is."""

import errno

import pytest

from ltr.errors import DataError
from ltr.io.caching.cache_folder import cache_folder


def test_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("LTR_CACHE", str(tmp_path / "mine"))
    assert cache_folder("a", "b") == tmp_path / "mine" / "a" / "b"
    assert (tmp_path / "mine" / "a" / "b").is_dir()
    monkeypatch.delenv("LTR_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("a") == tmp_path / "xdg" / "ltr" / "a"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "ltr"


@pytest.mark.parametrize(("name", "below"), [("LTR_CACHE", ""), ("XDG_CACHE_HOME", "ltr")])
def test_a_home_that_no_shell_has_written_out(tmp_path, monkeypatch, name, below):
    monkeypatch.delenv("LTR_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(name, "~/mine")
    assert cache_folder("a") == tmp_path / "mine" / below / "a"


def test_a_cache_that_cannot_be_made(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setenv("LTR_CACHE", str(tmp_path))
    monkeypatch.setattr("pathlib.Path.mkdir", refused)
    with pytest.raises(DataError, match=r"cannot write .*tokens: Permission denied; nothing was written"):
        cache_folder("tokens")
