"""``ltr COMMAND``: finds the command's file, runs it, and prints errors that a user can act on."""

from __future__ import annotations

import contextlib
import errno
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from ltr import __version__
from ltr.errors import Interrupted, LtrError
from ltr.io.names import cut, suggestion
from ltr.machine.cores import affinity, cores
from ltr.machine.loudness import set_loudness

#: command -> (module below ltr.cli, one line of help)
COMMANDS = {
    "demo": ("training.demo", "the whole path on the embedded data set: data, candidates, training, table"),
    "data": ("data", "look a data set over before training: counts, grades, lengths, overlap"),
    "encode": ("encode", "a collection's texts as vectors on disk, by a bi-encoder"),
    "retrieve": ("retrieve", "first stage: candidates by BM25 or by a bi-encoder, as a TREC run"),
    "fit": ("training.fit", "train a ranker from a configuration"),
    "benchmark": ("training.benchmark", "compare losses on your data, tuned alike, with statistics"),
    "evaluate": ("measuring.evaluate", "measure runs against judgements and compare them"),
    "compare": ("measuring.compare", "runs query by query: the biggest wins and losses, as a page with texts"),
    "rerank": ("rerank", "reorder candidates with a trained model"),
    "mine": ("mine", "hard negatives from a run, filtered by rank, teacher and margins"),
    "fuse": ("fuse", "put several runs together to one, with weights chosen on dev"),
    "distil": ("training.distil", "from a first stage to a student: retrieve, mine, teacher, student, evaluate"),
    "calibrate": ("calibrate", "scores of a trained model as probabilities of relevance"),
    "serve": ("serve", "a trained model behind the addresses that clients of rerankers call"),
    "predict": ("predict", "labels of documents with features by a trained model, such as seconds"),
    "score": ("embedding.score", "scores of (query, document) rows, however many, into Parquet"),
    "mcp": ("embedding.mcp", "a trained model as tools of an agent (Model Context Protocol)"),
    "push": ("embedding.push", "a trained model onto a model hub, with its card"),
    "export": ("export", "a trained model on 8-bit integers for CPUs, or as ONNX for search engines"),
    "losses": ("reading.losses", "list every loss with one line"),
    "plot": ("reading.plot", "draw a link or a loss"),
    "recipes": ("reading.recipes", "the configurations that come with ltr, for ltr fit --config NAME"),
    "guide": ("reading.guide", "read the guides: ltr guide lists them"),
}

#: short options that mean something else to a command
OWN = {"rerank": {"-q"}}
#: what a system says of a place that it does not let one use
REFUSED = {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE, errno.EIO}


def usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: ltr COMMAND [options]",
            "",
            "Learning to rank with selective losses.",
            "",
            *lines,
            "",
            "ltr COMMAND --help tells about one command; ltr --version prints versions, device and folders.",
            "Every command takes -q, --quiet (results and warnings alone) and -v, --verbose (all it has to say, and tracebacks).",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0 well, 1 an error that ltr explains, 2 wrong usage, 130 after Ctrl-C, 143 after SIGTERM.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        with _terminated():
            try:
                return _run(argv)
            finally:  # argparse leaves by SystemExit, and Python's own flush at the very end would complain
                if sys.stdout is not None:
                    sys.stdout.flush()
    except BrokenPipeError:  # the reader (head, less) went away: not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as stopped:
        how = "terminated" if getattr(stopped, "number", None) == signal.SIGTERM else "interrupted"
        print(f"\nltr{''.join(f' {name}' for name in argv[:1])}: {how}", file=sys.stderr)
        return getattr(stopped, "status", 130)


@contextlib.contextmanager
def _terminated() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does: what is half written is removed."""
    own = os.getpid()

    def stop(number: int, frame: Any) -> None:
        if os.getpid() == own:
            raise Interrupted(number)
        signal.signal(number, signal.SIG_DFL)  # a forked worker ends at once
        os.kill(os.getpid(), number)

    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _bounded() -> None:
    """Let torch start no more threads than a container's quota lets run: it asks for the processors of the host."""
    if cores() < affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(cores()))


def _loudness(command: str, arguments: Sequence[str]) -> tuple[list[str], int]:
    """(the other arguments, the least level of what is said)."""
    words = {"-q": logging.WARNING, "--quiet": logging.WARNING, "-v": logging.DEBUG, "--verbose": logging.DEBUG}
    levels = {word: level for word, level in words.items() if word not in OWN.get(command, ())}
    end = arguments.index("--") if "--" in arguments else len(arguments)  # behind it all are values
    asked = [levels[argument] for argument in arguments[:end] if argument in levels]
    rest = [argument for argument in arguments[:end] if argument not in levels]
    return [*rest, *arguments[end:]], (asked or [logging.INFO])[-1]


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    if argv[0] in ("-V", "--version"):
        from ltr.cli.reading.about import about

        print(f"ltr {__version__}", flush=True)  # at once: torch, which knows the device, takes a second or two to load
        print(about())
        return 0
    name = argv[0]
    rest, level = _loudness(name, argv[1:])
    set_loudness(level)
    _bounded()
    if name not in COMMANDS:
        print(f"ltr: no command {name!r}; {suggestion(name, COMMANDS)}; ltr --help lists them", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(f"ltr.cli.{COMMANDS[name][0]}").main(rest) or 0
    except LtrError as error:
        if level == logging.DEBUG or os.environ.get("LTR_DEBUG"):
            raise
        print(f"ltr {name}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        # of a file that the user named: whoever looks for it first, ltr or another package, is told so by the system
        if error.errno not in REFUSED or not error.filename or level == logging.DEBUG or os.environ.get("LTR_DEBUG"):
            raise
        print(f"ltr {name}: {cut(os.fsdecode(error.filename))}: {error.strerror}", file=sys.stderr)
        return 1
