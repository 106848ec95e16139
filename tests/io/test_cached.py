"""Folders that are built once: complete or absent, whatever happens meanwhile."""

import errno

import pytest

from ltr.errors import DataError
from ltr.io.cached import cached_folder
from ltr.io.files import cache_folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LTR_CACHE", str(tmp_path))


def test_built_on_first_use_only():
    def build(folder):
        (folder / "a.txt").write_text("one")

    place = cached_folder("kind", "key", build)
    assert place == cache_folder("kind") / "key"
    assert cached_folder("kind", "key", lambda _: pytest.fail("built again")) == place
    assert (place / "a.txt").read_text() == "one"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")])
def test_failure_leaves_nothing_and_the_next_try_works(error):
    def fail(folder):
        (folder / "a.txt").write_text("half")
        raise error

    with pytest.raises((KeyboardInterrupt, OSError)):
        cached_folder("kind", "key", fail)
    assert list(cache_folder("kind").iterdir()) == []
    assert cached_folder("kind", "key", lambda folder: None).is_dir()


def test_a_full_disk_is_told():
    def fail(folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match=r"cannot write .*kind/key: No space left on device; nothing was written"):
        cached_folder("kind", "key", fail)


def test_another_process_was_quicker():
    def build(folder):
        (folder / "a.txt").write_text("slow")
        cached_folder("kind", "key", lambda other: (other / "a.txt").write_text("quick"))

    assert (cached_folder("kind", "key", build) / "a.txt").read_text() == "quick"
    assert [p.name for p in cache_folder("kind").iterdir()] == ["key"]


def test_a_place_that_cannot_be_taken_is_an_error(monkeypatch):
    def refused(*_):
        raise PermissionError("no")

    monkeypatch.setattr("os.rename", refused)
    with pytest.raises(PermissionError):
        cached_folder("kind", "key", lambda folder: None)
    assert list(cache_folder("kind").iterdir()) == []
