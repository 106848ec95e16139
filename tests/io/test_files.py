"""Writing never loses the old file; missing files are named with what lies beside them."""

import errno
import fcntl
import os
import resource
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager

import pytest

from ltr.errors import DataError
from ltr.io.disk import disk_errors, make_folder_of
from ltr.io.files import building, clear_leftovers, clear_parts, existing, existing_file, replacing
from ltr.io.locks import in_the_making, only_writer
from ltr.io.streams import is_stdout, is_stream


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


@contextmanager
def small_disk():
    """Files of more than a kilobyte do not fit. Not for a whole test: pytest may write to a file, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_other_packages_write_on_a_full_disk(tmp_path):
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
                small_disk(),
            ):
                write(tmp_path / "beside")
    for other in (ValueError("no disk"), FileNotFoundError(errno.ENOENT, "gone")):
        with pytest.raises(type(other)), disk_errors(tmp_path / "old"):
            raise other


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


# ---------------------------------------------------------------- devices, pipes, links


def written(path, text="one\n"):
    with replacing(path) as file:
        file.write(text)


def test_a_device_stays_a_device(tmp_path):
    """A regular file in the place of /dev/null would swallow the disk: what is no file is written through."""
    place = tmp_path / "null"
    place.symlink_to(os.devnull)
    before = sorted(os.listdir("/dev"))
    for path in (place, os.devnull):
        written(path)
        assert stat.S_ISCHR(os.stat(path).st_mode)
        assert is_stream(path)
    assert place.is_symlink()
    assert [name for name in os.listdir("/dev") if "null" in name] == [name for name in before if "null" in name]


def test_a_reader_at_the_other_end_of_a_pipe_gets_everything(tmp_path):
    place = tmp_path / "pipe"
    os.mkfifo(place)
    found = []
    reader = threading.Thread(target=lambda: found.append(place.read_text()), daemon=True)
    reader.start()
    written(place)
    reader.join(timeout=20)
    assert found == ["one\n"]
    assert stat.S_ISFIFO(os.stat(place).st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_reader_that_went_away_is_told(tmp_path):
    place = tmp_path / "pipe"
    os.mkfifo(place)

    def reader():
        open(place).close()

    def to_nobody():
        with replacing(place) as file:
            thread.join()
            file.write("one\n" * 100_000)

    thread = threading.Thread(target=reader, daemon=True)
    thread.start()
    with pytest.raises(DataError, match=r"cannot write .*pipe: Broken pipe; a part may have been written"):
        to_nobody()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_device_is_told():
    with pytest.raises(
        DataError, match=r"cannot write /dev/full: No space left on device; a part may have been written"
    ):
        written("/dev/full")


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_keeps_what_stands_there_already(tmp_path, name):
    """As a file it must neither be replaced nor written from its beginning."""
    if name != "-" and not os.path.exists(os.path.dirname(name)):
        pytest.skip(f"this system has no {name}")
    code = f"""if True:
        from ltr.io.files import replacing
        print("before")
        with replacing({name!r}) as file: file.write("zwei é\\n")
        with replacing({name!r}, "wb") as file: file.write(b"three\\n")
        print("after")
    """
    place = tmp_path / "out"
    for how in ("wb", "ab"):
        with open(place, how) as out:
            subprocess.run([sys.executable, "-c", code], stdout=out, check=True, cwd=tmp_path)
    assert place.read_text(encoding="utf-8") == "before\nzwei é\nthree\nafter\n" * 2
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=tmp_path)
    assert done.stdout.decode() == "before\nzwei é\nthree\nafter\n"
    assert os.listdir(tmp_path) == ["out"]


def test_a_link_to_standard_output_is_standard_output(tmp_path):
    (tmp_path / "link").symlink_to("/dev/stdout")
    assert is_stdout(tmp_path / "link")
    assert not is_stdout(tmp_path / "other")
    assert not is_stream(tmp_path / "other")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    assert not is_stream(tmp_path / "round")


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    for target in ("far/there", "far/new"):
        link = tmp_path / f"link to {os.path.basename(target)}"
        link.symlink_to(target)
    (tmp_path / "far" / "there").write_text("old")
    for name in ("there", "new"):
        written(tmp_path / f"link to {name}")
        assert (tmp_path / f"link to {name}").is_symlink()
        assert (tmp_path / "far" / name).read_text() == "one\n"
    assert sorted(os.listdir(tmp_path)) == ["far", "link to new", "link to there"]
    assert sorted(os.listdir(tmp_path / "far")) == ["new", "there"]


def test_a_file_keeps_its_rights(tmp_path):
    path = tmp_path / "a"
    path.touch()
    os.chmod(path, 0o640)
    written(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


# ---------------------------------------------------------------- folders and what killed processes leave


def test_a_folder_takes_the_place_of_another_with_ordinary_rights(tmp_path):
    place, plain = tmp_path / "a", tmp_path / "b"
    plain.mkdir()
    for text in ("one", "two"):
        with building(place) as part:
            (part / "inner").mkdir()
            (part / "inner" / "file").write_text(text)
        assert (place / "inner" / "file").read_text() == text
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    for made in (place, place / "inner"):
        assert stat.S_IMODE(made.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_what_is_in_the_making_is_told_from_what_a_killed_process_left(tmp_path):
    left = [tmp_path / f".{name}.abcdefgh.part" for name in ("out.trec", "out[1].trec", "folder")]
    for path in left[:2]:
        path.write_text("half")
    left[2].mkdir()
    others = [
        tmp_path / name for name in (".out.trec.abcdefgh.old", ".other.abcdefgh.part", ".out.trec.part", "out.trec")
    ]
    for path in others:
        path.write_text("not ours")
    with replacing(tmp_path / "out.trec") as file, building(tmp_path / "folder") as folder:
        assert not left[2].exists(), "who builds a folder clears what was left of it"
        for name in ("out.trec", "out[1].trec", "folder"):
            clear_parts(tmp_path / name)
        assert not any(path.exists() for path in left)
        file.write("whole")
        (folder / "a").touch()
    assert (tmp_path / "out.trec").read_text() == "whole"
    assert (tmp_path / "folder" / "a").exists()
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "folder"])


@pytest.mark.parametrize("maker", ["mkstemp", "mkdtemp"])
def test_what_another_process_has_just_made_is_not_lost_to_one_that_clears_up(tmp_path, monkeypatch, maker):
    """Between its making and its mark a new file looks like what a killed process left."""
    made, place = [], tmp_path / "out"
    make = getattr(tempfile, maker)

    def cleared(**names):
        result = make(**names)
        made.append(result)
        if len(made) == 1:
            clear_parts(place)
        return result

    monkeypatch.setattr(tempfile, maker, cleared)
    if maker == "mkstemp":
        with replacing(place) as file:
            clear_parts(place)
            file.write("whole")
        assert place.read_text() == "whole"
    else:
        with building(place) as folder:
            clear_parts(place)
            (folder / "a").touch()
        assert (place / "a").exists()
    assert len(made) == 2
    assert os.listdir(tmp_path) == ["out"]


def test_what_is_being_cleared_up_is_waited_for(tmp_path):
    """Who clears up holds the mark until the file is gone; a new file is never written under that name."""
    names = iter(["first", "second"])

    def make():
        path = tmp_path / next(names)
        path.touch()
        if path.name == "first":
            handle = os.open(path, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX)

            def clear():
                path.unlink()
                os.close(handle)

            threading.Timer(0.05, clear).start()
        return str(path)

    with in_the_making(make) as path:
        assert path == tmp_path / "second"


def test_what_a_killed_process_left_is_removed(tmp_path):
    for name in (".a.abcd_123.part", ".b.abcdefgh.part", ".mine.part", ".a.part", "a"):
        (tmp_path / name).write_text(name)
    (tmp_path / ".best.abcdefgh.old").mkdir()
    (tmp_path / ".best.abcdefgh.old" / "weights").write_text("old")
    (tmp_path / ".best.abcdefgh.part").mkdir()
    for inner in ("part", "old"):  # beside what was itself beside its place
        (tmp_path / f"..best.ijklmnop.part.abcdefgh.{inner}").mkdir()
    clear_leftovers(tmp_path, ["a", "best"])
    assert sorted(os.listdir(tmp_path)) == [".a.part", ".b.abcdefgh.part", ".mine.part", "a", "best"]
    assert (tmp_path / "best" / "weights").read_text() == "old"
    (tmp_path / ".best.abcdefgh.old").mkdir()
    clear_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".a.part", ".mine.part", "a", "best"]
    clear_leftovers(tmp_path / "nowhere")


def test_one_writer_at_a_time(tmp_path):
    def held():
        return only_writer(tmp_path / "a", tmp_path / ".lock", "a is being written")

    with held():
        with pytest.raises(DataError, match=r"^a is being written$"), held():
            pass
        assert (tmp_path / ".lock").exists()
    (tmp_path / ".lock").touch()  # what a killed process leaves
    with held():
        pass
    assert os.listdir(tmp_path) == []


def test_what_torch_says_of_a_full_disk(tmp_path):
    import torch

    def save():
        with replacing(tmp_path / "a.ckpt", "wb") as file:
            torch.save({"a": torch.zeros(4096)}, file)

    with (
        pytest.raises(DataError, match=r"cannot write .*a.ckpt: File too large; nothing was written"),
        small_disk(),
    ):
        save()
    assert os.listdir(tmp_path) == []


def test_folders_in_which_nothing_was_written_go_away(tmp_path):
    place = tmp_path / "new" / "runs"
    with pytest.raises(ValueError, match="never began"), only_writer(place, place / ".lock", "busy"):
        raise ValueError("never began")
    with pytest.raises(ValueError, match="full"), replacing(place / "file"):
        raise ValueError("full")
    assert list(tmp_path.iterdir()) == []
    with only_writer(place, place / ".lock", "busy"):
        (place / "kept").touch()
    assert list(place.iterdir()) == [place / "kept"]
