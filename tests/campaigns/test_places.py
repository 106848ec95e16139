"""Where a machine is short of something, figures are the same, or a command ends with one sentence and harms nothing.

    python -m pytest -m slow tests/campaigns/test_places.py

Full disks and read-only folders are mounted in a name space of a child's own, which takes the rights to do so.
"""

import ctypes
import functools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch

from ltr.cli.main import main
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings.texts import ModelSettings
from tests.campaigns.processes import ended, started
from tests.conftest import write_tiny
from tests.tiny_model import save_tiny

NEW_MOUNTS = 0x20000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that begin as a copy of this one"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A collection, a model for it, and a fold of features."""
    home = tmp_path_factory.mktemp("places")
    write_tiny(home / "data")
    with open(home / "data" / "docs.jsonl", "a", encoding="utf-8") as file:
        file.write('{"doc_id": "naïve", "text": "the cat sat down: ı, İ, 日本"}\n')
    torch.manual_seed(2)
    CrossEncoder(str(save_tiny(home / "backbone", head=True))).save(home / "best", ModelSettings(60, 20))
    rng = np.random.default_rng(0)
    (home / "fold").mkdir()
    for name in ("train.txt", "vali.txt", "test.txt"):
        rows = [
            f"{grade} qid:{name}{q} 1:{grade + 2 * rng.normal():.3f} 2:{rng.normal():.3f}\n"
            for q in range(30)
            for grade in rng.permutation(4)
        ]
        (home / "fold" / name).write_text("".join(rows))
    return home


def commands(home, out):
    data, run = str(home / "data"), str(out / "ours.trec")
    return {
        "fit": [
            "fit", "--model.scorer=LinearScorer", "--model.loss=ListNet", "--model.measures=[ndcg@3]", "--data=LetorData",
            f"--data.fold={home / 'fold'}", "--trainer.accelerator=cpu", "--trainer.max_epochs=2", "--run.monitor=ndcg@3",
            f"--run.folder={out / 'run'}",
        ],
        "retrieve": ["retrieve", "--dataset", data, "--output", str(out / "bm25.trec")],
        "rerank": ["rerank", "--model", str(home / "best"), "--dataset", data, "--run", "first", "--output", run, "--precision", "32"],
        "evaluate": ["evaluate", "--run", str(home / "data" / "run.first.trec"), "--dataset", data, "--format", "csv", "--output", str(out / "table.csv")],
    }  # fmt: skip


def figures(out):
    """The files that hold figures, without what tells times and places."""
    found = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        if path.suffix in (".trec", ".safetensors", ".txt") or path.name == "table.csv":
            found[str(path.relative_to(out))] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def expected(home, tmp_path_factory):
    out = tmp_path_factory.mktemp("expected")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for arguments in commands(home, out).values():
            assert main(arguments) == 0
    found = figures(out)
    assert {"run/best/model.safetensors", "run/results.txt", "bm25.trec", "ours.trec", "table.csv"} <= set(found)
    return found


def mounted(*mounts):
    """In a name space of this process alone: mounts as ``mount`` takes them."""
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS):
        os._exit(77)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for given in mounts:
        subprocess.run(["mount", *map(str, given)], check=True)


def may_mount():
    return (
        subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0
        if os.path.exists("/usr/bin/unshare")
        else False
    )


needs_mounts = pytest.mark.skipif(not may_mount(), reason="needs the rights to mount")


def read_only(folder):
    return ["--bind", folder, folder], ["-o", "remount,bind,ro", folder]


def small(folder, size):
    return [["-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]]


def limited(size):
    """No file may grow beyond so many bytes, as on a disk with quotas; what a command says goes into a file, too."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def elsewhere():
    os.environ["TZ"] = "Asia/Kathmandu"
    time.tzset()


def mounts_for(place, home, out, cache):
    return {
        "inputs that cannot be written": [*read_only(home)],
        "no shared memory": [["-t", "tmpfs", "-o", "ro", "tmpfs", "/dev/shm"]],
        "an output that cannot be written": [*read_only(out)],
        "a cache that cannot be written": [*read_only(cache)],
        "a full disk": small(out, "8k"),
        "a nearly full disk": small(out, "24k"),
        "a full cache": small(cache, "4k"),
    }[place]


#: what must not change anything
HARMLESS = {"umask 077": lambda: os.umask(0o077), "another time zone": elsewhere}
HARMLESS_MOUNTS = ["inputs that cannot be written", "no shared memory"]
SHORT = [
    "an output that cannot be written",
    "a cache that cannot be written",
    "a full disk",
    "a nearly full disk",
    "a full cache",
]


def in_place(home, out, tmp_path, monkeypatch, prepare):
    """command -> (exit status, what it said) of all commands, each in a child that is prepared so."""
    cache = tmp_path / "cache"
    cache.mkdir(exist_ok=True)
    monkeypatch.setenv("LTR_CACHE", str(cache))
    found = {}
    for name, arguments in commands(home, out).items():
        log = tmp_path / f"log {name}"
        found[name] = ended(started(arguments, log, prepare)), log.read_text()
    return found


@pytest.mark.parametrize("place", [*HARMLESS, *(pytest.param(name, marks=needs_mounts) for name in HARMLESS_MOUNTS)])
def test_figures_do_not_depend_on_the_place(place, home, expected, tmp_path, monkeypatch):
    out, cache = tmp_path / "out", tmp_path / "cache"
    out.mkdir()
    prepare = HARMLESS.get(place) or functools.partial(mounted, *mounts_for(place, home, out, cache))
    found = in_place(home, out, tmp_path, monkeypatch, prepare)
    assert {name: status for name, (status, _) in found.items()} == dict.fromkeys(found, 0), found
    assert figures(out) == expected
    if place == "umask 077":
        assert {oct(path.stat().st_mode & 0o777) for path in out.rglob("*") if path.is_file()} == {"0o600"}


def said(found):
    """The sentences of commands that failed, each of which says one."""
    for name, (status, text) in found.items():
        assert "Traceback" not in text, text
        assert status in (0, 1), (name, status, text)
        if status:
            assert len(re.findall(rf"^ltr {name}: ", text, re.MULTILINE)) == 1, text
    return [text for status, text in found.values() if status]


@needs_mounts
@pytest.mark.parametrize("place", SHORT)
def test_a_place_that_is_short_of_room_is_told(place, home, expected, tmp_path, monkeypatch):
    out, cache = tmp_path / "out", tmp_path / "cache"
    out.mkdir()
    found = in_place(home, out, tmp_path, monkeypatch, functools.partial(mounted, *mounts_for(place, home, out, cache)))
    assert said(found), "something must have failed"
    assert all(re.search(r"cannot (write|be written)|No space left|Read-only", text) for text in said(found)), found
    for name, content in figures(out).items():
        assert content == expected[name], name


def test_files_that_may_not_grow_are_told_and_leave_nothing_half_written(home, expected, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    found = in_place(home, out, tmp_path, monkeypatch, functools.partial(limited, 1200))
    assert said(found), "something must have failed"
    for name, content in figures(out).items():
        assert content == expected[name], name


def elsewhere_from_the_start(home, out, **environment):
    """All commands in one new process, for what is settled when Python starts or packages are imported."""
    code = (
        "import json, sys; from ltr.cli.main import main; sys.exit(max(main(one) for one in json.loads(sys.argv[1])))"
    )
    given = {
        k: v
        for k, v in (os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | environment).items()
        if v is not None
    }
    given.pop("NUMBA_CACHE_DIR", None)
    arguments = [sys.executable, "-W", "ignore", "-c", code, json.dumps(list(commands(home, out).values()))]
    return subprocess.run(arguments, env=given, capture_output=True)


ENVIRONMENTS = {
    "ASCII": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "Turkish": {"LC_ALL": "tr_TR.UTF-8"},
    "no home": {"HOME": None, "XDG_CACHE_HOME": None},
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_figures_do_not_depend_on_the_environment(name, home, expected, tmp_path):
    if (
        name == "Turkish"
        and "tr_TR.utf8" not in subprocess.run(["locale", "-a"], capture_output=True, text=True).stdout
    ):
        pytest.skip("the locale tr_TR is not installed")
    (tmp_path / "out").mkdir()
    done = elsewhere_from_the_start(home, tmp_path / "out", LTR_CACHE=str(tmp_path / "cache"), **ENVIRONMENTS[name])
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert figures(tmp_path / "out") == expected


def test_a_home_that_cannot_be_written_is_told(home, tmp_path):
    (tmp_path / "out").mkdir()
    done = elsewhere_from_the_start(home, tmp_path / "out", HOME="/proc/nowhere", XDG_CACHE_HOME=None, LTR_CACHE=None)
    text = done.stderr.decode()
    assert done.returncode == 1
    assert "Traceback" not in text
    assert "cannot write /proc/nowhere/.cache/ltr" in text
