"""The command line answers at once and explains mistakes."""

import errno
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ltr import __version__
from ltr.cli import main as cli
from ltr.cli.main import COMMANDS, main
from ltr.errors import DataError
from ltr.machine.loudness import loudness, shows_bars

#: what takes seconds to import, and what nobody needs who asks for help
HEAVY = ["torch", "transformers", "pytorch_lightning", "ranx", "numba", "pandas", "scipy", "ir_datasets", "matplotlib"]
#: what else must come quickly
QUICK = [
    ("losses",),
    ("losses", "--links"),
    ("losses", "ranknet"),
    ("fit", "--trainer.max_epoch=1"),
    ("fit", "--config", "no-such.yaml"),
    ("fit", "--model.loss=ListNt"),
    ("fit", "--model.loss=nolib.Mine(alpha=2)"),
]


def imported_by(*argv: str) -> tuple[set[str], str, float]:
    """(heavy modules loaded, output, seconds) of a new process."""
    code = (
        "import sys\n"
        "from ltr.cli.main import main\n"
        f"try: main({list(argv)!r})\n"
        "except SystemExit: pass\n"
        f"print('loaded:', *[m for m in {HEAVY!r} if m in sys.modules])"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    out, _, loaded = done.stdout.rpartition("loaded:")
    return set(loaded.split()), out, seconds


def test_help_lists_every_command_at_once():
    loaded, out, seconds = imported_by("--help")
    assert loaded == set()
    assert all(name in out for name in COMMANDS)
    assert seconds < 5  # 0.1 s on an idle machine; this one may be busy


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_of_a_command_imports_nothing_heavy(name):
    loaded, out, seconds = imported_by(name, "--help")
    assert loaded == set()
    assert out.startswith(f"usage: ltr {name}")
    assert seconds < 5


@pytest.mark.parametrize("argv", QUICK, ids=" ".join)
def test_lists_and_mistakes_import_nothing_heavy(argv):
    assert imported_by(*argv)[0] == set()


def test_importing_ltr_is_cheap():
    code = f"import sys, ltr; print(*[m for m in {[*HEAVY, 'numpy']!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"ltr {__version__}\npython ")


def test_without_a_command_it_shows_usage(capsys):
    assert main([]) == 0
    assert "usage: ltr COMMAND" in capsys.readouterr().out


def test_an_unknown_command_is_met_with_the_nearest(capsys):
    assert main(["evalute"]) == 2
    assert "ltr: no command 'evalute'; did you mean 'evaluate'?" in capsys.readouterr().err


class Command:
    """A command's module that does what a test wants."""

    def __init__(self, act):
        self.act = act

    def main(self, argv):
        return self.act()


def doing(monkeypatch, act) -> None:
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: Command(act))


def raising(error):
    def act():
        raise error

    return act


def test_errors_of_ltr_are_one_line(monkeypatch, capsys):
    monkeypatch.delenv("LTR_DEBUG", raising=False)
    doing(monkeypatch, raising(DataError("a.trec:3: wrong")))
    assert main(["evaluate"]) == 1
    assert capsys.readouterr().err == "ltr evaluate: a.trec:3: wrong\n"


def test_errors_of_ltr_with_a_traceback_on_request(monkeypatch):
    monkeypatch.setenv("LTR_DEBUG", "1")
    doing(monkeypatch, raising(DataError("a.trec:3: wrong")))
    with pytest.raises(DataError, match=r"a\.trec:3: wrong"):
        main(["evaluate"])


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP])
def test_places_that_the_system_refuses_are_one_line(monkeypatch, capsys, number):
    monkeypatch.delenv("LTR_DEBUG", raising=False)
    doing(monkeypatch, raising(OSError(number, os.strerror(number), "far/away")))
    assert main(["evaluate"]) == 1
    assert capsys.readouterr().err == f"ltr evaluate: far/away: {os.strerror(number)}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "--run", "setup.cfg", "--qrels", "LONG"],
        ["fit", "--config", "LONG"],
        ["rerank", "--model", "LONG", "--query", "x", "--dataset", "pydocs"],
        ["retrieve", "--dataset", "LONG", "-o", "x"],
    ],
)
def test_names_that_no_disk_takes(capsys, arguments):
    assert main([argument.replace("LONG", "x" * 5000) for argument in arguments]) == 1
    said = capsys.readouterr().err
    assert "File name too long" in said
    assert len(said) < 300


def test_other_errors_are_not_hidden(monkeypatch):
    doing(monkeypatch, raising(OSError(errno.EBADF, "a bug")))
    with pytest.raises(OSError, match="a bug"):
        main(["evaluate"])
    doing(monkeypatch, raising(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main(["evaluate"])


def test_interruption(monkeypatch, capsys):
    doing(monkeypatch, raising(KeyboardInterrupt()))
    assert main(["evaluate"]) == 130
    assert "ltr evaluate: interrupted" in capsys.readouterr().err


def test_the_status_of_a_command_is_that_of_ltr(monkeypatch):
    for value, status in ((None, 0), (0, 0), (3, 3)):
        doing(monkeypatch, lambda value=value: value)
        assert main(["evaluate"]) == status


def python(code, **options):
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


@pytest.mark.skipif(os.name != "posix", reason="needs pipes that close as on POSIX")
@pytest.mark.parametrize("argv", [["losses"], ["--help"], ["--version"], ["evaluate", "--help"], []])
def test_a_reader_that_goes_away_is_no_error(argv):
    """Every time, not in half of the tries: the reader is gone before the first byte is written."""
    code = f"import sys; sys.stdin.read(); from ltr.cli.main import main; sys.exit(main({argv!r}))"
    with python(code, stdin=subprocess.PIPE) as writer:
        writer.stdout.close()
        writer.stdin.close()
        assert writer.stderr.read() == b""
        assert writer.wait() == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_end_a_command_with_the_status_that_shells_know(number, status):
    """SIGTERM too lets a command remove what is half written."""
    code = """if True:
        import signal, sys, time
        from ltr.cli import main as cli
        # a shell that starts a suite in the background has Ctrl-C ignored in all that it starts
        signal.signal(signal.SIGINT, signal.default_int_handler)
        class Slow:
            def main(argv):
                try:
                    print("ready", flush=True)
                    time.sleep(60)
                finally:
                    print("tidied")
        cli.importlib.import_module = lambda name: Slow
        sys.exit(cli.main(["evaluate"]))
    """
    with python(code) as process:
        process.stdout.readline()
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out) == (status, b"tidied\n")
    assert err.decode().split() == ["ltr", "evaluate:", "terminated" if status == 143 else "interrupted"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(("given", "told", "found"), [(64, None, "2"), (64, "8", "8"), (2, None, None)])
def test_torch_starts_no_more_threads_than_a_quota_lets_run(monkeypatch, given, told, found):
    monkeypatch.setattr(cli, "cores", lambda: 2)
    monkeypatch.setattr(cli, "affinity", lambda: given)
    monkeypatch.setenv("OMP_NUM_THREADS", "")  # so that what is set here ends with the test
    monkeypatch.delenv("OMP_NUM_THREADS")
    if told:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert main(["losses"]) == 0
    assert os.environ.get("OMP_NUM_THREADS") == found


@pytest.mark.parametrize(
    ("given", "taken", "level"),
    [
        (["evaluate", "--run", "a"], ["--run", "a"], logging.INFO),
        (["evaluate", "-q", "--run", "a"], ["--run", "a"], logging.WARNING),
        (["evaluate", "--run", "a", "--verbose"], ["--run", "a"], logging.DEBUG),
        (["evaluate", "-v", "--quiet"], [], logging.WARNING),
        (["rerank", "-q", "text", "--quiet"], ["-q", "text"], logging.WARNING),
        (["score", "-q", "--", "-v"], ["--", "-v"], logging.WARNING),
    ],
)
def test_every_command_may_be_quiet_or_talkative(monkeypatch, given, taken, level):
    called = []

    def act(arguments):
        called.append((arguments, loudness()))

    monkeypatch.setattr(cli.importlib, "import_module", lambda name: SimpleNamespace(main=act))
    assert main(given) == 0
    assert called == [(taken, level)]
    assert shows_bars() is False, "no terminal is there"
    main(["evaluate"])
    assert loudness() == logging.INFO


def test_no_command_has_these_options_for_itself():
    """Or it stands among those that ``main`` knows of."""
    sources = {path: path.read_text() for path in Path(cli.__file__).parent.rglob("*.py") if path.name != "main.py"}
    own = {path.stem: re.findall(r'"(-[qv])"', text) for path, text in sources.items() if re.search(r'"-[qv]"', text)}
    assert own == {command: sorted(options) for command, options in cli.OWN.items()}


def test_a_talkative_command_shows_where_an_error_comes_from(monkeypatch, capsys):
    monkeypatch.delenv("LTR_DEBUG", raising=False)
    doing(monkeypatch, raising(DataError("a.trec:3: wrong")))
    with pytest.raises(DataError, match=r"a\.trec:3: wrong"):
        main(["evaluate", "-v"])
    assert main(["evaluate", "-q"]) == 1
    assert capsys.readouterr().err == "ltr evaluate: a.trec:3: wrong\n"


def test_a_quiet_command_says_results_and_warnings_alone(tiny_folder, tmp_path, capsys):
    logging.getLogger("ltr").handlers.clear()
    given = ["retrieve", "--dataset", str(tiny_folder), "-o", str(tmp_path / "r.trec")]
    assert main([*given, "--quiet"]) == 0
    said = capsys.readouterr()
    assert "documents for 4 queries" in said.out
    assert said.err == ""
    assert logging.getLogger("ltr").level == logging.WARNING
    assert main(given) == 0
    assert logging.getLogger("ltr").level == logging.INFO
