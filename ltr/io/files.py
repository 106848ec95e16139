"""Writing without losing the old file, and the user's cache folder.

Whatever ltr writes goes through this file. A regular file or a folder is made beside its place and renamed when it is
complete; a device, a pipe and standard output are written through; a link stays, and what it points to is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from ltr.errors import DataError

#: what a full, read-only or failing disk says while a file is written, and a place where something else stands
REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM}
REFUSALS |= {errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.EBUSY}
#: the name of standard output
STDOUT = "-"
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
        with _stream(path, mode, text) as file:
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
    part = None
    new = [folder for folder in place.parents if not folder.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.", suffix=".part")
        part = Path(name)
        os.close(handle)
        yield part
        _sync(part)
        take_place(part, place)
    except BaseException as error:
        if part is not None:
            part.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # what stands in them by now belongs to others
            for folder in new:
                folder.rmdir()
        number = _number(error)
        if number is not None and (part is None or number in REFUSALS):
            kept = "the old file is as it was" if place.is_file() else "nothing was written"
            raise DataError(f"cannot write {path}: {os.strerror(number)}; {kept}") from error
        raise


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


def is_stream(path: str | os.PathLike) -> bool:
    """Whether ``path`` is no file to be replaced: standard output (``-``), a device, a pipe, an open descriptor."""
    if os.fspath(path) == STDOUT or _descriptor(path) is not None:
        return True
    try:
        kind = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(kind) and not stat.S_ISDIR(kind)


def is_stdout(path: str | os.PathLike) -> bool:
    """Whether what is written to ``path`` goes to standard output, where nothing else may be printed then."""
    return os.fspath(path) == STDOUT or _descriptor(path) == 1


def _descriptor(path: str | os.PathLike) -> int | None:
    """The open file of this process that a name such as /dev/stdout, /dev/fd/3 or a link to one stands for.

    Opened by its name it would begin at the front of a file, over what the shell or others have written there.
    """
    place = os.path.abspath(os.fspath(path))
    for _ in range(40):  # the system's own limit of links
        folder, name = os.path.realpath(os.path.dirname(place)), os.path.basename(place)
        if folder in ("/dev/fd", f"/proc/{os.getpid()}/fd") and name.isdigit():
            return int(name)
        if not os.path.islink(place):
            return None
        place = os.path.join(folder, os.readlink(place))
    return None


@contextlib.contextmanager
def _stream(path: str | os.PathLike, mode: str, text: dict[str, str]) -> Iterator[IO]:
    """Open what is written through."""
    file: IO
    try:
        if is_stdout(path):
            sys.stdout.flush()
        if os.fspath(path) != STDOUT:
            number = _descriptor(path)
            opened = os.fspath(path) if number is None else os.dup(number)
            with open(opened, mode, **text) as file:  # type: ignore[call-overload]
                yield file
        elif "b" in mode:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        else:
            file = io.TextIOWrapper(sys.stdout.buffer, write_through=True, **text)  # type: ignore[arg-type]
            try:
                yield file
                file.flush()
            finally:
                file.detach()
    except OSError as error:
        if isinstance(error, BrokenPipeError) and is_stdout(path):  # head and less may go away
            raise
        raise DataError(f"cannot write {path}: {error.strerror}; a part may have been written") from error


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
        part = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}.", suffix=".part"))
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
        if match is None or (names is not None and match["name"] not in names):
            continue
        place = left.with_name(match["name"])
        if left.suffix == ".old" and not place.exists():
            os.replace(left, place)
        elif left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


# ------------------------------------------------------------------ locks


@contextlib.contextmanager
def only_writer(path: str | os.PathLike, lock: str | os.PathLike, busy: str) -> Iterator[None]:
    """Hold the lock file of ``path``; the system lets it go when the process ends, however it does.

    Args:
        path: what is written.
        lock: its lock file, removed at the end; one that a killed process left does no harm.
        busy: what to tell the user where another process holds it.

    Raises:
        DataError: another process holds it, or the place cannot be written.
    """
    from filelock import FileLock, Timeout

    make_folder_of(lock, told=path)
    held = FileLock(os.fspath(lock), timeout=0)
    try:
        with disk_errors(path):
            held.acquire()
    except Timeout:
        raise DataError(busy) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # where the system minds that it is open
            os.unlink(lock)
        held.release()


# ------------------------------------------------------------------ the disk


def umask() -> int:
    """The rights that the user's new files do not get; the system tells them only by setting others."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def to_disk(folder: Path) -> None:
    """Wait until all files below a folder are on the disk: after a power cut a renamed folder could hold empty ones otherwise."""
    for path in folder.rglob("*"):
        if path.is_file():
            _sync(path)


def _sync(path: Path) -> None:
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
        number = _number(error)
        if number not in REFUSALS:
            raise
        assert number is not None
        kept = "the old one is as it was" if Path(path).exists() else "nothing was written"
        raise DataError(f"cannot write {path}: {os.strerror(number)}; {kept}") from error


def _number(error: BaseException | None) -> int | None:
    """The system's number of an error, where it has one."""
    if isinstance(error, OSError):
        return error.errno
    # safetensors gives the number in its text only, and torch fails once more when it closes what it could not write
    if match := re.search(r"\(os error (\d+)\)", str(error)):
        return int(match[1])
    return _number(error.__context__) if isinstance(error, RuntimeError) else None


def make_folder_of(path: str | os.PathLike, told: str | os.PathLike | None = None) -> None:
    """Create the folder that ``path`` is to stand in. Raises DataError where that cannot be, about ``told`` instead if given."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # /proc/new says that there is no such file
        raise DataError(f"cannot write {told or path}: {error.strerror}; nothing was written") from error


# ------------------------------------------------------------------ what is there


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
