"""What a disk does and says: rights of new files, waiting until they are there, errors as one sentence."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ltr.errors import DataError

#: what a full, read-only or failing disk says while a file is written, and a place where something else stands
REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM}
REFUSALS |= {errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EBUSY}


def umask() -> int:
    """The rights that the user's new files do not get; the system tells them only by setting others."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def to_disk(folder: Path) -> None:
    """Wait until all files below a folder are on the disk: after a power cut a renamed folder could hold empty ones otherwise."""
    for path in folder.rglob("*"):
        if path.is_file():
            sync(path)


def sync(path: Path) -> None:
    """Wait until a file is on the disk."""
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
    except (
        Exception
    ) as error:  # packages wrap what the system said in errors of their own; what is none of its is raised again
        number = system_number(error)
        if number not in REFUSALS:
            raise
        assert number is not None
        kept = "the old one is as it was" if Path(path).exists() else "nothing was written"
        raise DataError(f"cannot write {path}: {os.strerror(number)}; {kept}") from error


def system_number(error: BaseException | None) -> int | None:
    """The system's number of an error, where it has one."""
    if isinstance(error, OSError):
        return error.errno
    # safetensors gives the number in its text only, and torch fails once more when it closes what it could not write
    if match := re.search(r"\(os error (\d+)\)", str(error)):
        return int(match[1])
    return system_number(error.__context__) if isinstance(error, RuntimeError) else None


def make_folder_of(path: str | os.PathLike, told: str | os.PathLike | None = None) -> None:
    """Create the folder that ``path`` is to stand in. Raises DataError where that cannot be, about ``told`` instead if given."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # /proc/new says that there is no such file
        raise DataError(f"cannot write {told or path}: {error.strerror}; nothing was written") from error
