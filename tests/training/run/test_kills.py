"""Trainings that are killed at random moments and resumed end with the files of an unbroken one, to the last digit.

    LTR_KILLS=200 LTR_KILLS_SEED=1 python -m pytest -m slow tests/training/run/test_kills.py -s

prints how many trainings were hit by which signals, where they stood, and which ended otherwise.
"""

import csv
import json
import os
import random
import re
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from ltr.cli.main import main
from ltr.training.run.records import CONFIG
from tests.campaigns.processes import STATUS, ended, hit, started

KILLS, SEED = int(os.environ.get("LTR_KILLS", "12")), int(os.environ.get("LTR_KILLS_SEED", "0"))

RUNNING_CENTER = {
    "class_path": "CompositeSoftmax",
    "init_args": {
        "transform": {"class_path": "ltr.losses.RunningCenter", "init_args": {"link": {"class_path": "Sigmoid"}}}
    },
}

#: what matters to resuming: accumulated batches and validations inside them, all ways to end, all that is kept meanwhile
SETTINGS = {
    "plain": ["--trainer.max_epochs=4"],
    "accumulated": ["--trainer.max_epochs=4", "--trainer.accumulate_grad_batches=2", "--trainer.val_check_interval=3"],
    "averaged": ["--trainer.max_epochs=4", "--trainer.accumulate_grad_batches=3", "--run.average=2"],
    "by steps": ["--trainer.max_epochs=-1", "--trainer.max_steps=40", "--trainer.val_check_interval=5"],
    "patient": ["--trainer.max_epochs=30", "--run.patience=3", "--trainer.val_check_interval=0.5"],
    "rarely validated": ["--trainer.max_epochs=5", "--trainer.check_val_every_n_epoch=2", "--run.save_every_minutes=0.0003"],
    "never validated": ["--trainer.max_steps=7", "--run.save_every_minutes=0.0003"],
    "across epochs": [
        "--trainer.max_epochs=4", "--trainer.check_val_every_n_epoch=null", "--trainer.val_check_interval=5",
        "--trainer.accumulate_grad_batches=2", "--run.save_every_minutes=0.0002",
    ],
    "a loss with a state": ["--trainer.max_epochs=3", f"--model.loss={json.dumps(RUNNING_CENTER)}"],
}  # fmt: skip


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    """Lists that are hard to rank, so that validations differ."""
    folder, rng = tmp_path_factory.mktemp("data") / "Fold1", np.random.default_rng(0)
    folder.mkdir()
    for name in ("train.txt", "vali.txt", "test.txt"):
        rows = [
            f"{grade} qid:{q} 1:{rng.normal():.3f} 2:{rng.normal():.3f} 3:{grade + 2 * rng.normal():.3f}\n"
            for q in range(30)
            for grade in rng.permutation(4)
        ]
        (folder / name).write_text("".join(rows))
    return folder


def command(fold, setting, folder):
    scorer = {"class_path": "MLPScorer", "init_args": {"hidden": [8], "dropout": 0.2}}
    return [
        "fit", f"--model.scorer={json.dumps(scorer)}", "--model.loss=ListNet", "--model.lr=0.01",
        "--model.measures=[ndcg@3, mrr@10]", "--data=LetorData", f"--data.fold={fold}", "--data.lists_per_batch=3",
        "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.log_every_n_steps=2",
        "--run.monitor=ndcg@3", *SETTINGS[setting], f"--run.folder={folder}",
    ]  # fmt: skip


def what_it_left(folder):
    """Everything in a run folder that does not tell times."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if name == "metrics.csv":
            with open(path) as file:
                rows = [{k: v for k, v in row.items() if "per_second" not in k} for row in csv.DictReader(file)]
            found[name] = rows
        elif name == "manifest.json":
            manifest = json.loads(path.read_text())
            found[name] = {k: manifest[k] for k in ("status", "step", "best", "loss", "data", "seed")}
        elif name == CONFIG:
            found[name] = yaml.safe_load(path.read_text())
            del found[name]["run"]["folder"]
        elif path.name == "README.md":  # without its own name, command and time, and the digest of all that
            text = re.sub(r"(?s)```sh\n.*?```", "", path.read_text())
            found[name] = [line for line in text.splitlines() if not line.startswith(("# ", "| started |", "<!-- "))]
        elif name != "last.ckpt":
            found[name] = path.read_bytes()
    return found


def killed_and_resumed(fold, setting, folder, log, seconds, rng):
    """(signals with the exit status each gave) of one training that ends in spite of them."""
    hits = []
    for attempt in range(6):
        resumes = (folder / CONFIG).exists()
        process = started(["fit", "--resume", str(folder)] if resumes else command(fold, setting, folder), log)
        if attempt == 0 or rng.random() < 0.4:
            got = hit(process, seconds, rng)
            if got is not None:
                hits.append(got)
                if got[1]:
                    continue
                return hits
        assert ended(process) == 0, Path(log).read_text()[-3000:]
        return hits
    process = started(
        ["fit", "--resume", str(folder)] if (folder / CONFIG).exists() else command(fold, setting, folder), log
    )
    assert ended(process) == 0, Path(log).read_text()[-3000:]
    return hits


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that begin as a copy of this one")
def test_killed_trainings_end_as_unbroken_ones(fold, tmp_path, capsys):
    with warnings.catch_warnings():  # once here, so that all others begin with everything imported
        warnings.simplefilter("ignore")
        assert main(command(fold, "plain", tmp_path / "first")) == 0
    rng = random.Random(SEED)
    whole, took = {}, {}
    others, hits, statuses = [], Counter(), Counter()
    for number in range(KILLS):
        setting = list(SETTINGS)[number % len(SETTINGS)]
        if setting not in whole:
            folder, begin = tmp_path / f"whole {setting}", time.perf_counter()
            assert ended(started(command(fold, setting, folder), tmp_path / "log")) == 0, (tmp_path / "log").read_text()
            took[setting] = time.perf_counter() - begin
            whole[setting] = what_it_left(folder)
        folder, log = tmp_path / f"cut {number}", tmp_path / f"log {number}"
        got = killed_and_resumed(fold, setting, folder, log, took[setting], rng)
        for name, status in got:
            hits[name] += 1
            statuses[name, status] += 1
        found = what_it_left(folder)
        differ = sorted(k for k in found.keys() | whole[setting].keys() if found.get(k) != whole[setting].get(k))
        if differ:
            others.append((number, setting, got, differ))
        assert b"Traceback" not in log.read_bytes(), log.read_text()[-3000:]
    with capsys.disabled():
        print(
            f"\n{KILLS} trainings, {sum(hits.values())} signals {dict(hits)}, (signal, exit status): {dict(statuses)}"
        )
        print(f"ended otherwise: {len(others)}")
        for other in others:
            print(" ", *other)
    assert not others
    wrong = {pair for pair in statuses if pair[1] not in (0, STATUS[pair[0]])}
    assert not wrong


def test_one_training_at_a_time_in_a_folder(fold, tmp_path):
    """The lock is the system's: it ends with the process that holds it."""
    code = f"""if True:
        import sys, time
        from ltr.io.locks import only_writer
        from pathlib import Path
        with only_writer("x", Path({str(tmp_path)!r}) / ".lock", "busy"):
            print("held", flush=True)
            time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        from ltr.errors import DataError
        from ltr.training import RunFolder

        with pytest.raises(DataError, match=r"another process is training in .*; wait for it, or choose another"):
            RunFolder(str(tmp_path)).claim()
        other.kill()
    folder = RunFolder(str(tmp_path))
    folder.claim()
    folder.release()
    assert os.listdir(tmp_path) == []
