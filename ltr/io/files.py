"""Writing without losing the old file, and the user's cache folder."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ltr.errors import DataError

#: what a full, read-only or failing disk says while a file is written, and a place where something else stands
REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM}
REFUSALS |= {errno.EISDIR, errno.ENOTDIR, errno.EEXIST}


@contextlib.contextmanager
def replacing(path: str | os.PathLike, mode: str = "w") -> Iterator[IO]:
    """Open a new file beside ``path`` that takes its place when the block ends well.

    A crash, a full disk or an interruption leaves the old file as it was.

    Args:
        path: the file to write; its folder is created.
        mode: ``"w"`` for UTF-8 text or ``"wb"`` for bytes.

    Raises:
        DataError: when the disk is full or the folder cannot be written; the old file is untouched.
    """
    path = Path(path)
    beside = None
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(handle, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp files are private to the user; give what an ordinary open() would have given
        os.chmod(beside, 0o666 & ~umask())
        os.replace(beside, path)
    except BaseException as error:
        if beside is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
        if isinstance(error, OSError) and (beside is None or error.errno in REFUSALS):
            kept = "the old file is as it was" if path.is_file() else "nothing was written"
            raise DataError(f"cannot write {path}: {error.strerror}; {kept}") from error
        raise


def umask() -> int:
    """The rights that the user's new files do not get; the system tells them only by setting others."""
    found = os.umask(0)
    os.umask(found)
    return found


def to_disk(folder: Path) -> None:
    """Wait until all files below a folder are on the disk: after a power cut a renamed folder could hold empty ones otherwise."""
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


@contextlib.contextmanager
def disk_errors(path: str | os.PathLike) -> Iterator[None]:
    """Turn what a full or read-only disk says inside the block into one sentence about ``path``.

    For what other packages write beside ``path`` and is renamed then; ``replacing`` says it of its own files.

    Raises:
        DataError: when the disk is full or the place cannot be written.
    """
    try:
        yield
    except Exception as error:
        # safetensors gives the system's number in its text only
        found = re.search(r"\(os error (\d+)\)", str(error))
        number = error.errno if isinstance(error, OSError) else int(found[1]) if found else None
        if number not in REFUSALS:
            raise
        kept = "the old one is as it was" if Path(path).exists() else "nothing was written"
        raise DataError(f"cannot write {path}: {os.strerror(number)}; {kept}") from error


def make_folder_of(path: str | os.PathLike) -> None:
    """Create the folder that ``path`` is to stand in. Raises DataError where that cannot be."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # /proc/new says that there is no such file
        raise DataError(f"cannot write {path}: {error.strerror}; nothing was written") from error


def cache_folder(*parts: str) -> Path:
    """A folder below the user's cache (``$LTR_CACHE``, else ``$XDG_CACHE_HOME/ltr``, else ``~/.cache/ltr``), created.

    Raises:
        DataError: it is not there, and the cache cannot be written.
    """
    home = os.environ.get("LTR_CACHE")
    if not home:
        home = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ltr")
    folder = Path(home, *parts)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


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
    if path.exists():
        return path
    parent = path.parent
    if not parent.is_dir():
        raise DataError(f"{what}: no file {path}; its folder {parent} does not exist either")
    beside = sorted(p.name for p in parent.iterdir() if not p.name.startswith("."))[:8]
    raise DataError(f"{what}: no file {path}; the folder {parent} holds {', '.join(beside) or 'nothing'}")
