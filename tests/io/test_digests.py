"""Hashes of large files are computed once, and anew when the file changed."""

import hashlib
import os

import pytest

from ltr.io import digests
from ltr.io.digests import digest


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
