"""Writing without losing the old file, and the user's cache folder.

Whatever ltr writes goes through this file. A regular file or a folder is made beside its place and renamed when it is
complete; a device, a pipe and standard output are written through; a link stays, and what it points to is replaced.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from ltr.errors import DataError
from ltr.io.disk import REFUSALS, disk_errors, make_folder_of, sync, system_number, to_disk, umask
from ltr.io.locks import in_the_making, remove_left
from ltr.io.names import cut
from ltr.io.streams import is_stream, writing_through

#: what a name may be that was made beside another: ``.NAME.`` and eight characters
_LEFT = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}\.(part|old)")

# ------------------------------------------------------------------ files


@contextlib.contextmanager
def replacing(path: str | os.PathLike, mode: str = "w") -> Iterator[IO]:
    """Open a new file beside ``path`` that takes its place when the block ends well.

    A crash, a full disk or an interruption leaves the old file as it was. ``-`` is standard output; that, a device, a
    pipe and an open descriptor (``/dev/stdout``) are written through.

    Args:
        path: the file to write; its folder is created. Where it is a link, what it points to is replaced.
        mode: ``"w"`` for UTF-8 text or ``"wb"`` for bytes.

    Raises:
        DataError: when the disk is full or the folder cannot be written; the old file is untouched.
    """
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    if is_stream(path):
        with writing_through(path, mode, text) as file:
            yield file
    else:
        with beside(path) as part, open(part, mode, **text) as file:  # type: ignore[call-overload]
            yield file


@contextlib.contextmanager
def beside(path: str | os.PathLike) -> Iterator[Path]:
    """The name of a new, empty file beside ``path`` that takes its place when the block ends well.

    Where it does not, folders that were made for it go away again.

    For what other packages write under a name; ``replacing`` opens it.

    Raises:
        DataError: when the disk is full or the folder cannot be written; the old file is untouched.
    """
    place = Path(os.path.realpath(path))
    part: Path | None = None
    new = [folder for folder in place.parents if not folder.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with in_the_making(lambda: _new_file(place)) as part:
            yield part
            sync(part)
            take_place(part, place)
    except BaseException as error:  # Ctrl-C leaves nothing half written either
        if part is not None:
            part.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # what stands in them by now belongs to others
            for folder in new:
                folder.rmdir()
        number = system_number(error)
        if number is not None and (part is None or number in REFUSALS):
            kept = "the old file is as it was" if place.is_file() else "nothing was written"
            raise DataError(f"cannot write {path}: {os.strerror(number)}; {kept}") from error
        raise


def _new_file(place: Path) -> str:
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.", suffix=".part")
    os.close(handle)
    return name


def take_place(part: Path, place: Path) -> None:
    """Rename a finished file to its place, with the rights and the owner of the file that is there.

    A new file gets those of an ordinary one: temporary files are private to the user.
    """
    try:
        old = os.stat(place)
    except FileNotFoundError:
        os.chmod(part, 0o666 & ~umask())
    else:
        own = os.stat(part)
        if (own.st_uid, own.st_gid) != (old.st_uid, old.st_gid):
            with contextlib.suppress(PermissionError):  # only root gives files away
                os.chown(part, old.st_uid, old.st_gid)
        os.chmod(part, stat.S_IMODE(old.st_mode))
    os.replace(part, place)


# ------------------------------------------------------------------ what is written through


# ------------------------------------------------------------------ folders


@contextlib.contextmanager
def building(folder: str | os.PathLike) -> Iterator[Path]:
    """An empty folder beside ``folder`` that takes its place when the block ends well.

    Raises:
        DataError: when the disk is full or the place cannot be written; the old folder is untouched.
    """
    place = Path(os.path.realpath(folder))  # where a link points, the folder is replaced and the link stays
    make_folder_of(place)
    with disk_errors(place):
        clear_parts(place)
        with in_the_making(
            lambda: tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}.", suffix=".part")
        ) as part:
            try:
                yield part
                _open_to_others(part)
                to_disk(part)
                _swap(part, place)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise


def _swap(new: Path, folder: Path) -> None:
    """Put ``new`` in the place of ``folder``; what was there goes away only after that."""
    if not folder.exists():
        os.replace(new, folder)
        return
    old = new.with_suffix(".old")
    os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old)


def _open_to_others(folder: Path) -> None:
    """Give the rights of ordinary files; mkdtemp and safetensors write for the user alone."""
    mask = umask()
    os.chmod(folder, 0o777 & ~mask)
    for path in folder.rglob("*"):
        os.chmod(path, (0o777 if path.is_dir() else 0o666) & ~mask)


def clear_leftovers(folder: str | os.PathLike, names: Iterable[str] | None = None) -> None:
    """Remove what a killed process left in ``folder`` of files and folders it was writing.

    To be called while no other process writes there. A folder that was killed between its two renames gets its old
    content back.

    Args:
        folder: where; nothing happens if it is not there.
        names: of the files and folders that were written; None for all.
    """
    for left in sorted(Path(folder).glob(".*")):
        match = _LEFT.fullmatch(left.name)
        if match is None:
            continue
        name = match["name"]
        while inner := _LEFT.fullmatch(name):  # made beside what was itself made beside its place
            name = inner["name"]
        if names is not None and name not in names:
            continue
        place = left.with_name(match["name"])
        if left.suffix == ".old" and not place.exists() and name == match["name"]:
            os.replace(left, place)
        elif left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


def clear_parts(path: str | os.PathLike) -> None:
    """Remove what killed processes left of the file or folder ``path`` in the making; what others are writing stays."""
    for left in parts_of(path):
        remove_left(left)


def parts_of(path: str | os.PathLike) -> list[Path]:
    """What others are writing at this moment to become the file or folder ``path``, and what killed processes left of it."""
    place = Path(os.path.realpath(path))
    every = place.parent.glob(f".{glob.escape(place.name)}.????????.part")
    return [part for part in every if _LEFT.fullmatch(part.name)]


# ------------------------------------------------------------------ what is there


def existing_file(path: str | os.PathLike, what: str) -> Path:
    """``existing`` for what must be a file. Raises DataError for a folder and for an empty name, too."""
    if not os.fspath(path):
        raise DataError(f"{what}: the name of the file is empty; give one")
    path = existing(path, what)
    if path.is_dir():
        raise DataError(f"{what}: {path} is a folder; give a file")
    return path


def existing(path: str | os.PathLike, what: str) -> Path:
    """``path`` as a Path, or a DataError that says which ``what`` is missing and what lies beside it."""
    path = Path(path)
    try:
        there = path.exists()
    except OSError as error:  # a folder that one may not enter, a name that no disk takes
        raise DataError(f"{what}: {cut(str(path))} cannot be read: {error.strerror}") from error
    if there:
        return path
    parent = path.parent
    if not parent.is_dir():
        raise DataError(f"{what}: no file {path}; its folder {parent} does not exist either")
    beside = sorted(p.name for p in parent.iterdir() if not p.name.startswith("."))[:8]
    raise DataError(f"{what}: no file {path}; the folder {parent} holds {', '.join(beside) or 'nothing'}")
