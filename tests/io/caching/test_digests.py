"""Hashes of large files are computed once, and anew when the file changed."""

import errno
import hashlib
import os
import types

import pytest

from ltr.io.caching import digests
from ltr.io.caching.digests import digest


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LTR_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def computed(monkeypatch):
    """Which files were read."""
    paths = []
    original = digests._computed
    monkeypatch.setattr(digests, "LARGE", 4)
    monkeypatch.setattr(digests, "_computed", lambda path, *more: paths.append(path) or original(path, *more))
    return paths


def aged(path, seconds=10):
    """The file, changed so many seconds ago."""
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns - seconds * 10**9))
    return path


def test_the_hashes_of_hashlib(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"some content" * 10)
    assert digest(path) == hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
    assert digest(path, "sha256") == hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def test_a_large_file_is_read_once(tmp_path, computed):
    path = tmp_path / "file"
    path.write_bytes(b"large")
    aged(path)
    first = digest(path)
    assert digest(path) == first
    assert computed == [path]
    digest(path, "sha256")  # another hash knows nothing of the first
    assert computed == [path, path]


def test_a_changed_file_of_the_same_size_is_read_again(tmp_path, computed):
    path = tmp_path / "file"
    path.write_bytes(b"large")
    first = digest(aged(path))
    path.write_bytes(b"other")
    assert digest(aged(path, 5)) != first
    assert len(computed) == 2


def test_small_files_and_fresh_ones_are_read_each_time(tmp_path, computed):
    small, fresh = tmp_path / "small", tmp_path / "fresh"
    small.write_bytes(b"abc")
    aged(small)
    fresh.write_bytes(b"large")
    for _ in range(2):
        digest(small)
        digest(fresh)
    assert computed == [small, fresh] * 2


@pytest.mark.parametrize("kept", ["", "[]", "{}", '{"state": 7, "digest": "spam"}', "not json"])
def test_what_was_kept_may_be_damaged(tmp_path, computed, kept):
    path = tmp_path / "file"
    path.write_bytes(b"large")
    first = digest(aged(path))
    (place,) = (tmp_path / "cache" / "hashes").iterdir()
    place.write_text(kept)
    assert digest(path) == first
    assert len(computed) == 2
    assert digest(path) == first
    assert len(computed) == 2


def test_a_file_in_the_place_of_another_is_read_again(tmp_path, computed):
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"large")
    other.write_bytes(b"small")
    for one in (path, other):
        os.utime(one, (10**9, 10**9))
    first = digest(path)
    os.replace(other, path)
    os.utime(path, (10**9, 10**9))
    assert digest(path) != first


@pytest.mark.parametrize("write", ["a", "r+"])
def test_a_change_whose_time_was_put_back_is_read(tmp_path, computed, write):
    path = tmp_path / "file"
    path.write_bytes(b"large")
    os.utime(path, (10**9, 10**9))
    first = digest(path)
    with open(path, write) as file:
        file.write("other")
    os.utime(path, (10**9, 10**9))
    assert digest(path) != first


@pytest.mark.parametrize("fact", ["st_size", "st_mtime_ns", "st_ctime_ns", "st_ino"])
def test_every_fact_of_a_file_counts(tmp_path, computed, monkeypatch, fact):
    path = tmp_path / "file"
    path.write_bytes(b"large")
    facts = {"st_size": 5, "st_mtime": 1e9, "st_mtime_ns": 10**18, "st_ctime_ns": 10**18, "st_ino": 7}
    for changed in (facts, facts, {**facts, fact: facts[fact] + 1}):
        monkeypatch.setattr(
            digests, "os", types.SimpleNamespace(stat=lambda path, now=changed: types.SimpleNamespace(**now))
        )
        digest(path)
    assert computed == [path, path]


def test_a_longer_digest_is_another(tmp_path, computed):
    path = tmp_path / "file"
    path.write_bytes(b"large")
    aged(path)
    assert len(digest(path)) == 16
    assert len(digest(path, size=16)) == 32


def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path, computed, monkeypatch):
    """Reading may take longer than a file counts as fresh: what counts is the time before."""
    path = tmp_path / "file"
    path.write_bytes(b"large")
    clock = [path.stat().st_mtime + 1]
    monkeypatch.setattr(digests, "time", types.SimpleNamespace(time=lambda: clock[0]))
    original = digests._computed
    monkeypatch.setattr(digests, "_computed", lambda *a: clock.append(clock.pop() + 60) or original(*a))
    digest(path)
    clock[0] += 60
    digest(path)
    assert computed == [path, path]


@pytest.mark.parametrize("place", ["cache", "cache/hashes"])
def test_without_a_place_to_keep_it_the_digest_is_found(tmp_path, computed, monkeypatch, place):
    path, barred = tmp_path / "file", tmp_path / place
    path.write_bytes(b"large")
    barred.parent.mkdir(exist_ok=True)
    barred.write_text("a file where the folder should be")
    assert digest(aged(path)) == hashlib.blake2b(b"large", digest_size=8).hexdigest()


def test_a_full_cache_does_not_keep_the_digest_from_being_found(tmp_path, computed, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"large")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert digest(aged(path)) == hashlib.blake2b(b"large", digest_size=8).hexdigest()
