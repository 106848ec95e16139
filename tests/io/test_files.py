"""Writing never loses the old file; missing files are named with what lies beside them."""

import errno
import os
import resource
import stat

import pytest

from ltr.errors import DataError
from ltr.io.files import cache_folder, disk_errors, existing, existing_file, make_folder_of, replacing


def test_new_content_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "new folder" / "a.txt"
    for text in ("one\n", "zwei é\n"):
        with replacing(path) as file:
            file.write(text)
        assert path.read_text(encoding="utf-8") == text
    assert os.listdir(path.parent) == ["a.txt"]


def test_bytes_and_permissions_are_those_of_an_ordinary_file(tmp_path):
    path, plain = tmp_path / "a", tmp_path / "b"
    plain.touch()
    with replacing(path, "wb") as file:
        file.write(b"\x00\r\n")
    assert path.read_bytes() == b"\x00\r\n"
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("mine"), OSError(errno.ENOENT, "other")])
def test_an_error_inside_leaves_the_old_file_and_comes_through(tmp_path, error):
    path = tmp_path / "a"
    path.write_text("old")

    def interrupted():
        with replacing(path) as file:
            file.write("half")
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, where):
    path = tmp_path / "a"
    path.write_text("old")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, where, full)
    with (
        pytest.raises(DataError, match=r"cannot write .*a: No space left on device; the old file is as it was"),
        replacing(path) as file,
    ):
        file.write("new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_disk_that_fills_up_while_writing(tmp_path, monkeypatch):
    """The real thing: the kernel refuses the bytes when the buffer is flushed."""
    path = tmp_path / "a"
    path.write_text("old")

    def on_a_full_disk(dir, prefix, suffix):
        beside = os.path.join(dir, "beside")
        os.symlink("/dev/full", beside)
        return os.open(beside, os.O_WRONLY), beside

    monkeypatch.setattr("ltr.io.files.tempfile.mkstemp", on_a_full_disk)
    with pytest.raises(DataError, match="No space left on device; the old file is as it was"), replacing(path) as file:
        file.write("new" * 100_000)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot write .*nothing was written"), replacing(tmp_path / "file" / "a"):
        pass


def test_a_folder_in_the_place_of_a_file_stays(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    with (
        pytest.raises(DataError, match=r"cannot write .*/a: Is a directory; nothing was written"),
        replacing(tmp_path / "a"),
    ):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b"]


@pytest.mark.parametrize(("place", "why"), [("file/a", "File exists"), ("file/b/a", "Not a directory")])
def test_a_folder_below_a_file_cannot_be_made(tmp_path, place, why):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=rf"cannot write .*{place}: {why}; nothing was written"):
        make_folder_of(tmp_path / place)
    make_folder_of(tmp_path / "x" / "y" / "a")
    assert (tmp_path / "x" / "y").is_dir()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="this system has no /proc")
def test_a_folder_that_the_system_does_not_want():
    with pytest.raises(DataError, match=r"cannot write /proc/ltr/a: No such file or directory; nothing was written"):
        make_folder_of("/proc/ltr/a")


def test_something_else_in_the_place_is_told(tmp_path):
    for made in (os.mkdir, lambda path: os.replace(path, tmp_path / "file"), lambda path: path.write_text("")):
        folder = tmp_path / "folder"
        folder.mkdir(exist_ok=True)
        (tmp_path / "file").touch()
        with (
            pytest.raises(DataError, match=r"cannot write .*new: .*; nothing was written"),
            disk_errors(tmp_path / "new"),
        ):
            made(folder)


@pytest.fixture
def small_disk():
    """Files of more than a kilobyte do not fit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_other_packages_write_on_a_full_disk(tmp_path, small_disk):
    import torch
    from safetensors.torch import save_file

    def plainly(path):
        path.write_bytes(bytes(4096))

    def weights(path):
        save_file({"a": torch.zeros(1024)}, path)

    (tmp_path / "old").touch()
    for write in (plainly, weights):
        for name, kept in (("new", "nothing was written"), ("old", "the old one is as it was")):
            with (
                pytest.raises(DataError, match=rf"cannot write .*{name}: File too large; {kept}"),
                disk_errors(tmp_path / name),
            ):
                write(tmp_path / "beside")
    for other in (ValueError("no disk"), FileNotFoundError(errno.ENOENT, "gone")):
        with pytest.raises(type(other)), disk_errors(tmp_path / "old"):
            raise other


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


def test_a_cache_that_cannot_be_made(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setenv("LTR_CACHE", str(tmp_path))
    monkeypatch.setattr("pathlib.Path.mkdir", refused)
    with pytest.raises(DataError, match=r"cannot write .*tokens: Permission denied; nothing was written"):
        cache_folder("tokens")


def test_existing_names_what_is_missing(tmp_path):
    (tmp_path / "qrels.trec").touch()
    assert existing(tmp_path / "qrels.trec", "judgements") == tmp_path / "qrels.trec"
    with pytest.raises(DataError, match=r"judgements: no file .*qrel.trec; the folder .* holds qrels.trec"):
        existing(tmp_path / "qrel.trec", "judgements")
    with pytest.raises(DataError, match=r"run: no file .*; its folder .*nowhere does not exist either"):
        existing(tmp_path / "nowhere" / "a", "run")


def test_a_folder_or_no_name_is_no_file(tmp_path):
    (tmp_path / "a").touch()
    assert existing_file(tmp_path / "a", "run") == tmp_path / "a"
    with pytest.raises(DataError, match=rf"^run: {tmp_path} is a folder; give a file$"):
        existing_file(tmp_path, "run")
    with pytest.raises(DataError, match=r"^run: the name of the file is empty; give one$"):
        existing_file("", "run")
    with pytest.raises(DataError, match=r"run: no file .*b; the folder"):
        existing_file(tmp_path / "b", "run")
