"""Every benchmark that is given out is parsed, trains two steps on small data, and each of its losses learns from them.

The data sets that a spec names lie in a folder as small ones of the same form, so that shares, candidates, teachers and
labels are used as the spec has them; the models are tiny.
"""

from __future__ import annotations

import gzip
import json
import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import ir_datasets
import numpy as np
import pandas as pd
import pytest
import yaml

from ltr.batch import Lists
from ltr.data.base import RankingData
from ltr.experiments.cells.cell import parts_of, run_task
from ltr.experiments.spec.plan import Group, groups
from ltr.experiments.spec.reading import read_spec
from ltr.experiments.spec.spec import Spec
from ltr.expressions import value_of
from ltr.links import Link
from ltr.losses.base import Loss
from ltr.scorers.base import Scorer
from ltr.training.costs import cost_of
from ltr.training.given_data import check_labels
from tests.scorers.causal.tiny import save_tiny_causal
from tests.tiny_model import WORDS, tiny_model  # noqa: F401

FOLDER = Path(__file__).parents[1] / "configs" / "benchmarks"
SPECS = sorted(FOLDER.glob("*.yaml"))
#: specs over collections of ir-datasets, which need a network
PUBLIC = ("nanobeir", "trec-dl", "bright")
#: specs whose collections a small one takes the place of, here
ELSEWHERE = (*PUBLIC, "retrieval-pydocs")
#: queries, of which 99.4 % to 100 % must be some
QUERIES = 400

pytestmark = pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*")


@pytest.fixture(scope="module")
def collections(tmp_path_factory) -> Path:
    """What LTR_DATA names: small data in the forms of the real ones."""
    root = tmp_path_factory.mktemp("collections")
    rng = np.random.default_rng(0)
    for name in (
        "wikiqa",
        "stackfaq",
        "medquad",
        "scifact",
        "cosqa",
        "trec-dl-2021",
        "trec-dl-2022-unjudged",
        "ukpconvarg",
    ):
        text_folder(root / name, rng)
    text_folder(root / "cranfield", rng, grade=4)
    for path in ("letor-mq2008/train.txt", "letor-mq2008/vali.txt", "lightgbm-rank/train.txt"):
        svmlight(root / path, rng, lambda: rng.integers(0, 3))
    for path in ("vlengagement/train.txt", "vlengagement/vali.txt"):
        svmlight(root / path, rng, lambda: round(rng.gamma(1.0, 60.0), 2))
    for name in ("alpacaeval-graded", "hh-harmless", "pandalm-votes", "topicalchat-rated"):
        for part in ("train", "dev"):
            preferences(root / name / f"{part}.jsonl.gz", rng, *((1, 5) if name == "topicalchat-rated" else (0, 1)))
    for i, part in enumerate(("train", "dev", "test")):
        students(
            root / "medquad-students" / f"{part}.parquet",
            rng,
            range(QUERIES // 2 + 20 * i, QUERIES // 2 + 20 * (i + 1)),
        )
    return root


def preferences(path: Path, rng: np.random.Generator, low: float, high: float) -> None:
    """Prompts with four responses each, their ratings, and their rates of wins."""
    path.parent.mkdir(exist_ok=True)
    words, rows = [word for word in WORDS if len(word) > 2], []
    for i in range(20):
        wins = rng.permutation([0.0, 0.3, 0.6, 1.0]).tolist()
        texts = [" ".join(rng.choice(words, 4)) for _ in wins]
        said = [
            {"text": text, "score": low + (high - low) * win, "win": win} for text, win in zip(texts, wins, strict=True)
        ]
        rows.append({"prompt_id": f"{path.name}{i}", "prompt": f"{rng.choice(words)} {i}", "responses": said})
    with gzip.open(path, "wt") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))


def text_folder(folder: Path, rng: np.random.Generator, grade: int = 1) -> None:
    """Queries with four candidates each: judged, one of them relevant, and scored by a first stage and teachers."""
    folder.mkdir()
    words = [word for word in WORDS if len(word) > 2]
    docs = [f"d{i}" for i in range(60)]
    texts = [{"doc_id": d, "title": "", "text": " ".join(rng.choice(words, 5))} for d in docs]
    (folder / "docs.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    ids = [f"q{i}" for i in range(QUERIES)]
    (folder / "queries.tsv").write_text("".join(f"{q}\t{' '.join(rng.choice(words, 3))}\n" for q in ids))
    chosen = {q: rng.choice(docs, 4, replace=False).tolist() for q in ids}
    qrels = {q: "".join(f"{q} 0 {d} {grade * (i == 1)}\n" for i, d in enumerate(chosen[q])) for q in ids}
    half = QUERIES // 2
    for suffix, members in (("", ids), (".train", ids), (".dev", ids[half:])):
        (folder / f"qrels{suffix}.trec").write_text("".join(qrels[q] for q in members))
    taught = [f"taught-{part}" for part in ("train", "tune", "test")]
    for run in ("bm25", "splade", "labels", "first", "minilm", "mined", *taught):
        rows = [f"{q} Q0 {d} 1 {rng.gamma(1.0):.3f} {run}\n" for q in ids for d in chosen[q]]
        (folder / f"run.{run}.trec").write_text("".join(rows))


def svmlight(path: Path, rng: np.random.Generator, label) -> None:
    """Lists of three documents with four features; items recur in no two files."""
    path.parent.mkdir(exist_ok=True)
    rows = []
    for q in range(20):
        for d in range(3):
            features = " ".join(f"{i}:{rng.normal():.3f}" for i in range(1, 5))
            rows.append(f"{label()} qid:{q} {features} # {path.stem}{q}-{d}\n")
    with gzip.open(f"{path}.gz", "wt") as file:
        file.write("".join(rows))


def students(path: Path, rng: np.random.Generator, queries: range) -> None:
    """Lists of three documents with four features and a teacher's amounts."""
    path.parent.mkdir(exist_ok=True)
    n = 3 * len(queries)
    facts = {"list_id": np.repeat([f"q{i}" for i in queries], 3), "item_id": [f"d{i}" for i in range(n)]}
    features = {f"p{i}": rng.normal(size=n) for i in range(1, 5)}
    pd.DataFrame({**facts, "teacher": rng.gamma(1.0, 9.0, n), **features}).to_parquet(path, index=False)


def here(name: str, home: str) -> list[str]:
    """What puts a small collection in the place of a spec's own."""
    parts = {"train": "[:10%]", "dev": "[10%:20%]", "test": "[20%:30%]"}
    found = [f"data.{name}.init_args.{part}={home}{share}" for part, share in parts.items()]
    return [*found, *(f"data.{name}.init_args.{part}_candidates=first" for part in parts)]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_collections_are_ids_of_ir_datasets(name):
    data = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())["data"].values()
    ids = {one["init_args"][part] for one in data for part in ("train", "dev", "test")}
    for one in ids:
        ir_datasets.load(one)  # knows it, and fetches nothing yet


@pytest.fixture(scope="module")
def causal(tmp_path_factory) -> Path:
    """What LTR_SMOLLM2 names: a tiny causal language model."""
    return save_tiny_causal(tmp_path_factory.mktemp("causal") / "tiny")


@pytest.fixture
def read(collections, causal, monkeypatch):
    monkeypatch.setenv("LTR_DATA", str(collections))
    monkeypatch.setenv("LTR_SMOLLM2", str(causal))

    def act(path: Path) -> Spec:
        names = ("train", "dev", "test")
        home = f"{collections}/wikiqa/train"  # in place of the embedded data, whose index takes longer
        changes = [f"data.pydocs.init_args.{n}={home}[{i}0%:{i + 1}0%]" for i, n in enumerate(names)]
        if path.stem in ELSEWHERE:
            changes = [change for name in yaml.safe_load(path.read_text())["data"] for change in here(name, home)]
        return read_spec(path, changes if path.stem in ("quick", *ELSEWHERE) else ())

    return act


def short(group: Group, model: Path):
    """The group's first cell, with two steps of training, one validation and a small model."""
    task = group.example()
    if group.outside:
        arguments = {**task.ranker["init_args"], "n_estimators": 3}
        return replace(task, ranker={**task.ranker, "init_args": arguments})
    trainer = {**task.trainer, "accelerator": "cpu", "max_epochs": -1, "max_steps": 2, "val_check_interval": 2}
    trainer |= {"check_val_every_n_epoch": None, "limit_val_batches": 2}
    scorer, data = deepcopy(task.scorer), dict(task.data)
    if scorer["class_path"].endswith(("CrossEncoder", "BiEncoder")):
        scorer["init_args"] |= {"model": str(model), "layers": min(2, scorer["init_args"].get("layers", 2))}
        data["init_args"] = {**data["init_args"], "max_length": 48, "lists_per_batch": 2}
        if (
            data["class_path"] == "ltr.data.TextData"
        ):  # the small collections have fewer lists than an epoch of the spec
            data["init_args"] |= {"max_query_length": 16, "train_epoch_lists": 8}
    else:
        data["init_args"] = {**data["init_args"], "lists_per_batch": 2}
    if data["class_path"].endswith("FrozenPreferences") and not data["init_args"].get("causal"):
        data["init_args"]["model"] = str(model)
    return replace(task, scorer=scorer, data=data, trainer=trainer)


def one_of_each(spec: Spec) -> list[Group]:
    """One group for each loss and ranker, so that every data set and every scorer is among them."""
    found = groups(spec)
    scorers, data = list(spec.scorers), list(spec.data)
    every = math.lcm(len(data), max(1, len(scorers)))
    kept = []
    for i, loss in enumerate([*spec.losses, *spec.rankers]):
        own = [g for g in found if g.loss_name == loss and g.data_name == data[i % len(data)]]
        kept.append(next((g for g in own if g.scorer_name == scorers[(i + i // every) % len(scorers)]), own[0]))
    return kept


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_every_loss_of_a_spec_trains_and_every_scorer_scores_its_test_part(path, read, tiny_model):  # noqa: F811
    """A whole cell for each data set, scorer and ranker; the other losses take a step from where it began, on its first batch."""
    spec = read(path)
    kept = one_of_each(spec)
    assert [g.loss_name for g in kept] == [*spec.losses, *spec.rankers]
    assert {g.data_name for g in kept} <= set(spec.data)
    assert len({g.data_name for g in kept}) == min(len(kept), len(spec.data))
    assert len({g.scorer_name for g in kept if not g.outside}) == min(len(spec.losses), len(spec.scorers))
    seen: set[str] = set()
    begun: dict[str, tuple[RankingData, Scorer, Lists]] = {}
    for group in kept:
        place = group.data_name, group.scorer_name
        if group.outside or not seen.issuperset(place):
            whole_cell(group, spec, tiny_model)
            seen.update(place)
        else:
            task = group.example()  # a loss may ask for data or scorers of its own
            made_of = json.dumps([task.data, task.scorer], default=str)
            if made_of not in begun:
                begun[made_of] = beginning(group, tiny_model)
            one_step(group, *begun[made_of])


def whole_cell(group: Group, spec: Spec, model: Path) -> None:
    outcome = run_task(short(group, model))
    assert outcome.finished, f"{group.title}: {outcome.record['reason']}"
    assert outcome.record.get("steps", 2) == 2
    assert np.isfinite(outcome.record["value"])
    assert "scores.npy" in outcome.files
    assert (outcome.truth.qrels is None) == (
        spec.name in ("dwell", "convincingness", "rewards", "rewards-tuned", "rewards-smollm2")
    )


def beginning(group: Group, model: Path) -> tuple[RankingData, Scorer, Lists]:
    """The data, the scorer before it is trained, and the first batch."""
    data, module = parts_of(short(group, model))
    data.prepare_data()
    data.setup("fit")
    module.scorer.fit_to(data.inputs)
    return data, module.scorer.train(), next(iter(data.train_dataloader()))


def one_step(group: Group, data: RankingData, scorer: Scorer, batch: Lists) -> None:
    loss = value_of(group.example().loss, None, data.labels_to_focus)
    loss.reduction = "none"
    check_labels(loss, data)
    loss.check_scores(scorer.log_ratios)
    scorer.zero_grad()
    cost = cost_of(scorer, loss, batch)
    cost.total.backward()
    moved = [p.grad for p in scorer.parameters() if p.grad is not None]
    assert int(cost.count) > 0, group.title
    assert all(bool(gradient.isfinite().all()) for gradient in moved), group.title
    assert any(bool(gradient.any()) for gradient in moved), f"{group.title}: nothing would be learnt"


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_losses_can_be_made_at_both_ends_of_what_is_searched(path, read):
    spec = read(path)
    for name, loss in spec.losses.items():
        space = spec.space(name)
        for end in ("low", "high"):
            made = value_of(loss.filled({key: getattr(one, end) for key, one in space.items()}))
            assert isinstance(made, Loss)
            assert not isinstance(made, Link)
            assert repr(value_of(repr(made))) == repr(made)


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_a_spec_is_named_like_its_file_and_tells_how_it_is_run(path, read):
    assert read(path).name == path.stem
    assert f"ltr benchmark configs/benchmarks/{path.name}" in path.read_text()
    assert f"`{path.stem}`" in (FOLDER / "README.md").read_text()
