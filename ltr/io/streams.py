"""What is written through and not replaced: standard output, devices, pipes, open descriptors."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from collections.abc import Iterator
from typing import IO

from ltr.errors import DataError

#: the name of standard output
STDOUT = "-"


def is_stream(path: str | os.PathLike) -> bool:
    """Whether ``path`` is no file to be replaced: standard output (``-``), a device, a pipe, an open descriptor."""
    if os.fspath(path) == STDOUT or descriptor_of(path) is not None:
        return True
    try:
        kind = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(kind) and not stat.S_ISDIR(kind)


def is_stdout(path: str | os.PathLike) -> bool:
    """Whether what is written to ``path`` goes to standard output, where nothing else may be printed then."""
    return os.fspath(path) == STDOUT or descriptor_of(path) == 1


def descriptor_of(path: str | os.PathLike) -> int | None:
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
def writing_through(path: str | os.PathLike, mode: str, text: dict[str, str]) -> Iterator[IO]:
    """Open standard output, a device, a pipe or an open descriptor for writing."""
    file: IO
    try:
        if is_stdout(path):
            sys.stdout.flush()
        if os.fspath(path) != STDOUT:
            number = descriptor_of(path)
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
