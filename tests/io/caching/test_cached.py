"""Folders that are built once: complete or absent, whatever happens meanwhile."""

import errno
import os
import re
import subprocess
import sys
import threading
import time

import pytest

from ltr.errors import DataError
from ltr.io.caching.cache_folder import cache_folder
from ltr.io.caching.cached import cached, cached_folder


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


def test_one_builds_and_the_others_wait(caplog):
    began, built = threading.Event(), []

    def build(folder):
        built.append(threading.current_thread().name)
        began.set()
        time.sleep(0.3)
        (folder / "a.txt").write_text("slow")

    # the lock belongs to a file handle, so that another thread is waited for as another process would be
    other = threading.Thread(target=cached_folder, args=("kind", "key", build), name="first")
    other.start()
    began.wait()
    assert (cached_folder("kind", "key", build) / "a.txt").read_text() == "slow"
    other.join()
    assert built == ["first"]
    assert "waiting for another process that writes" in caplog.text
    assert [p.name for p in cache_folder("kind").iterdir()] == ["key"]


def test_a_killed_process_leaves_nothing_for_ever():
    code = """if True:
        import time
        from ltr.io.caching.cached import cached_folder
        def build(folder):
            (folder / "large").write_bytes(b"x")
            print("ready", flush=True)
            time.sleep(60)
        cached_folder("kind", "key", build)
    """
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.kill()
    (left,) = cache_folder("kind").iterdir()
    assert re.fullmatch(r"\.key\.\w{8}\.part", left.name)
    cached_folder("kind", "key.x", lambda folder: None)
    cached_folder("kind", "key", lambda folder: (folder / "small").write_text("y"))
    assert sorted(p.name for p in cache_folder("kind").iterdir()) == ["key", "key.x"]
    assert [p.name for p in (cache_folder("kind") / "key").iterdir()] == ["small"]


def test_files_are_on_the_disk_before_the_folder_has_its_name(monkeypatch):
    synced, sync, rename = [], os.fsync, os.rename

    def noted(handle):
        synced.append(os.fstat(handle).st_ino)
        sync(handle)

    def renamed(old, new):
        assert sorted(synced) == sorted(path.stat().st_ino for path in old.rglob("*.txt"))
        rename(old, new)

    def build(folder):
        (folder / "inner").mkdir()
        for name in ("a.txt", "inner/b.txt"):
            (folder / name).write_text("one")

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "rename", renamed)
    cached_folder("kind", "key", build)
    assert len(synced) == 2


def number(folder):
    return int((folder / "a.txt").read_text())


def test_a_damaged_folder_is_built_anew(caplog):
    def build(folder):
        (folder / "a.txt").write_text("7")

    assert cached("kind", "key", build, number) == 7
    assert cached("kind", "key", None, number) == 7
    place = cache_folder("kind") / "key"
    for damage in (lambda: (place / "a.txt").unlink(), lambda: (place / "a.txt").write_text("")):
        damage()
        caplog.clear()
        assert cached("kind", "key", build, number) == 7
        (said,) = caplog.messages
        assert said.startswith(f"cache: {place} is damaged (")
        assert said.endswith("); it is built anew")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.EACCES])
def test_a_lack_of_memory_or_rights_is_no_damage(number):
    place = cached_folder("kind", "key", lambda folder: None)

    def read(folder):
        raise OSError(number, "not now")

    with pytest.raises(OSError, match="not now"):
        cached("kind", "key", lambda folder: pytest.fail("built again"), read)
    assert place.is_dir()


def test_a_lack_of_memory_while_others_wait_is_no_damage_either():
    place, errors = (
        cached_folder("kind", "key", lambda folder: None),
        [KeyError("gone"), OSError(errno.ENOMEM, "not now")],
    )

    def read(folder):
        raise errors.pop(0)

    with pytest.raises(OSError, match="not now"):
        cached("kind", "key", lambda folder: pytest.fail("built again"), read)
    assert place.is_dir()


def test_what_another_process_has_mended_is_not_built_again():
    place, reads = cached_folder("kind", "key", lambda folder: None), []

    def read(folder):
        reads.append(folder)
        if len(reads) == 1:
            raise KeyError("gone for a moment")
        return 7

    assert cached("kind", "key", None, read) == 7
    assert reads == [place] * 2


def test_errors_of_building_and_of_other_kinds_come_through():
    def fail(folder):
        raise DataError("no list")

    with pytest.raises(DataError, match="no list"):
        cached("kind", "key", fail, number)

    def wrong(folder):
        raise TypeError("a fault of the program")

    with pytest.raises(TypeError, match="a fault"):
        cached("kind", "key", lambda folder: None, wrong)
    with pytest.raises(FileNotFoundError):
        cached("kind", "key", lambda folder: None, number)


def test_a_cache_that_cannot_be_written(monkeypatch):
    place = cached_folder("kind", "key", lambda folder: None)

    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("filelock.FileLock.acquire", refused)
    assert cached_folder("kind", "key", None) == place, "what is there is used without a lock"
    with pytest.raises(DataError, match=r"cannot write .*kind/other: Permission denied; nothing was written"):
        cached_folder("kind", "other", None)
    with pytest.raises(DataError, match=r"cannot write .*kind/key: Permission denied; the old one is as it was"):
        cached("kind", "key", None, number)


def test_a_place_that_cannot_be_taken_is_an_error(monkeypatch):
    def refused(*_):
        raise PermissionError("no")

    monkeypatch.setattr("os.replace", refused)
    with pytest.raises(PermissionError):
        cached_folder("kind", "key", lambda folder: None)
    assert list(cache_folder("kind").iterdir()) == []
