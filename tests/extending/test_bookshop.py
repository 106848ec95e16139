"""A package outside ltr, used through the command line and the public API alone."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import ltr
from ltr import FeatureLists, FeatureRanker, RankingModule, Reranker
from ltr.cli.main import main
from ltr.errors import ConfigError, DataError
from ltr.losses import ListNet
from ltr.scorers import LinearScorer, load_scorer
from ltr.training.run.records import read_manifest
from tests.conftest import DOCS
from tests.training.toys import trainer

HERE = Path(__file__).parent
SHOP = sorted((HERE / "bookshop").glob("*.py"))

# what Lightning says about tiny loaders and short trainings is not news here
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
]

QUICK = [
    "--trainer.accelerator=cpu", "--trainer.precision=32-true", "--trainer.enable_progress_bar=false",
    "--trainer.max_epochs=2",
]  # fmt: skip
SHELVES = ["--data=bookshop.data.Shelves()", "--model.scorer=bookshop.scorers.Products()", "--model.lr=0.05"]


@pytest.fixture(scope="session")
def shelf(tmp_path_factory) -> Path:
    """A folder with the package that stays importable: parsers ask all classes that there are for their modules."""
    folder = tmp_path_factory.mktemp("shelf")
    shutil.copytree(HERE / "bookshop", folder / "bookshop", ignore=shutil.ignore_patterns("__pycache__"))
    sys.path.append(str(folder))
    return folder


@pytest.fixture
def shop(shelf, tmp_path, monkeypatch) -> Path:
    """The package in the current folder."""
    shutil.copytree(shelf / "bookshop", tmp_path / "bookshop", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", SHOP, ids=lambda p: p.name)
def test_the_package_uses_public_names_alone(path):
    tree = ast.parse(path.read_text())
    own = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not {name for name in read - own if name.startswith("_") and not name.startswith("__")}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("ltr"):
            assert node.module.count(".") <= 1, f"{node.module}: names that users need stand in the rooms' doors"
            assert not any(alias.name.startswith("_") for alias in node.names)


def test_a_training_with_everything_of_ones_own_goes_from_fit_to_the_opened_model(shop, capsys):
    run = shop / "runs" / "shop"
    loss = "bookshop.losses.Sold(link=bookshop.links.Arctan(center=1.0, width=0.5))"
    measures = "[bookshop.measures.first_sale@2, ndcg@3]"
    command = ["fit", *SHELVES, f"--model.loss={loss}", f"--model.measures={measures}", *QUICK]
    assert main([*command, "--run.monitor=bookshop.measures.first_sale@2", f"--run.folder={run}"]) == 0
    said = capsys.readouterr().out
    assert "bookshop.measures.first_sale@2" in said
    assert "third shelves" in read_manifest(run)["signature"] if "signature" in read_manifest(run) else True
    assert "bookshop.losses.Sold" in read_manifest(run)["loss"]
    assert json.loads((run / "best" / "ltr.json").read_text())["scorer"] == "bookshop.scorers.Products"

    # a model folder alone may not choose what is imported
    with pytest.raises(
        DataError, match=r"its scorer is bookshop.scorers.Products, which is not part of ltr.*--allow boo"
    ):
        FeatureRanker.load(run / "best")
    ranker = FeatureRanker.load(run / "best", allow=["bookshop"])
    books = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 6.0]], np.float32)
    assert ranker.scores(books).shape == (2,)
    with pytest.raises(DataError, match=r"its scorer bookshop.scorers.Products is no|is not part of ltr"):
        load_scorer(run / "best", allow=["bookshop.losses"])


def test_an_interrupted_training_with_everything_of_ones_own_goes_on(shop):
    whole, cut = shop / "whole", shop / "cut"
    command = ["fit", *SHELVES, "--model.loss=bookshop.losses.Squeezed(margin=2.0)", *QUICK]
    assert main([*command, "--trainer.max_epochs=4", f"--run.folder={whole}"]) == 0
    assert main([*command, "--trainer.max_epochs=2", "--model.schedule=constant", f"--run.folder={cut}"]) == 0
    assert main(["fit", "--resume", str(cut), "--trainer.max_epochs=4"]) == 0
    assert read_manifest(cut)["step"] == read_manifest(whole)["step"] == 4


def test_a_text_scorer_of_ones_own_trains_saves_reranks_and_evaluates(shop, tiny_folder, tiny_model, capsys):
    run = shop / "runs" / "words"
    assert main([
        "fit", f"--model.scorer=bookshop.scorers.WordSum(model={str(tiny_model)!r})", "--model.loss=ListNet()",
        "--data=TextData", f"--data.train={tiny_folder}/train", f"--data.dev={tiny_folder}/dev",
        f"--data.dev_candidates={tiny_folder}/run.first.trec", f"--data.train_candidates={tiny_folder}/run.first.trec",
        "--data.max_length=32", "--data.max_query_length=16", "--model.measures=[mrr@10]", "--run.monitor=mrr@10",
        f"--run.folder={run}", *QUICK,
    ]) == 0  # fmt: skip
    with pytest.raises(DataError, match="which is not part of ltr"):
        Reranker.load(run / "best")
    reranker = Reranker.load(run / "best", device="cpu", allow=["bookshop.scorers.WordSum"])
    texts = [" ".join(filter(None, text)) for text in DOCS.values()]
    ranked = reranker.rank("join paths", texts, top_k=3)
    assert [hit.rank for hit in ranked] == [1, 2, 3]
    out = shop / "out.trec"
    given = ["--model", str(run / "best"), "--dataset", f"{tiny_folder}/dev", "--run", f"{tiny_folder}/run.first.trec"]
    assert main(["rerank", *given, "--output", str(out), "--allow", "bookshop"]) == 0
    capsys.readouterr()
    measure = "bookshop.measures.first_sale-l1@5"
    qrels = f"{tiny_folder}/qrels.dev.trec"
    assert main(["evaluate", "--run", str(out), "--qrels", qrels, "-m", measure, "mrr"]) == 0
    assert "bookshop.measures.first_sale@5" in capsys.readouterr().out


def test_a_benchmark_with_ones_own_runs_in_worker_processes(shop, capfd):
    (shop / "spec.yaml").write_text("""
name: shop
data:
  shelves: bookshop.data.Shelves()
scorers:
  products: bookshop.scorers.Products()
losses:
  ListNet: ListNet()
  Sold: bookshop.losses.Sold()
  Squeezed:
    loss: bookshop.losses.Squeezed(margin={margin})
    search: {margin: {low: 0.5, high: 2.0, default: 1.0}}
seeds: 2
tuning: {trials: 1}
model: {lr: 0.05}
trainer: {max_epochs: 2, accelerator: cpu}
monitor: ndcg@3
measures: [ndcg@3, bookshop.measures.first_sale]
baseline: ListNet
""")
    assert main(["benchmark", "spec.yaml", "--workers", "2"]) == 0
    told = capfd.readouterr().out
    assert "Squeezed" in told
    assert "bookshop.measures.first_sale" in told


def test_a_link_of_ones_own_is_plotted_and_explained(shop, capsys):
    assert main(["plot", "link", "bookshop.links.Arctan(center=1.0)", "--output", str(shop / "link.png")]) == 0
    assert (shop / "link.png").stat().st_size > 1000
    assert main(["losses", "bookshop.losses.Squeezed"]) == 0
    assert "where a pair is nearer than the margin" in capsys.readouterr().out


# ---------------------------------------------------------------------- told before anything is paid for


def lists(seed: int = 0) -> FeatureLists:
    rng = np.random.default_rng(seed)
    return FeatureLists.of(
        rng.normal(size=(6, 3)), np.array([0, 3, 6]), np.array([0, 1, 2, 2, 0, 1]), None, ["a", "b"], list("uvwxyz")
    )


def test_plain_loaders_train_and_validate_by_their_labels():
    module = RankingModule(LinearScorer(), ListNet(), lr=0.1, measures=["spearman"])
    loaders = [DataLoader([lists(i)], batch_size=None) for i in (0, 1)]
    trainer(max_epochs=2).fit(module, *loaders)
    assert -1 <= module.values["spearman"] <= 1
    assert module.scorer.n_features == 3


def test_what_plain_loaders_lack_is_said_before_step_one():
    module = RankingModule(LinearScorer(), ListNet(), measures=["ndcg@10"])
    loop = trainer()
    with pytest.raises(
        ConfigError, match=r"measure ndcg@10 needs judgements, and the data have none for dev .*plain load"
    ):
        loop.fit(module, *[DataLoader([lists()], batch_size=None)] * 2)
    assert loop.global_step == 0


def test_batches_that_are_none_of_ltrs_are_told(shop):
    module = RankingModule(LinearScorer(), ListNet(), measures=["spearman"])
    with pytest.raises(
        ConfigError, match=r"batches must be ltr.batch.Lists .* got Tensor; make them with FeatureLists.of"
    ):
        trainer().fit(module, DataLoader(torch.ones(4, 3)), DataLoader(torch.ones(4, 3)))


def test_a_scorer_that_could_not_be_opened_again_is_told_before_step_one(shop):
    from bookshop.scorers import Products

    from ltr.training import RunFolder
    from ltr.training.fitting import fit

    class Forgetful(Products):
        def __init__(self, depth: int = 2):
            super().__init__()

    run = RunFolder(str(shop / "run"), monitor="spearman")
    loop = trainer(callbacks=[run])
    from bookshop.data import Shelves

    module = RankingModule(Forgetful(), ListNet(), measures=["spearman"])
    with pytest.raises(
        ConfigError, match=r"Forgetful: .*(must stand in a module that can be imported|keep the argument)"
    ):
        fit(loop, module, Shelves(), run)
    assert loop.global_step == 0


def test_a_scorer_that_returns_no_scores_is_told():
    class Silent(LinearScorer):
        def forward(self, batch):
            super().forward(batch)

    module = RankingModule(Silent(), ListNet(), measures=["spearman"])
    with pytest.raises(
        ConfigError, match=r"Silent: forward must return scores \[lists, docs\] \[2, 3\], .* got NoneType"
    ):
        trainer().fit(module, *[DataLoader([lists()], batch_size=None)] * 2)


def test_a_data_module_of_another_kind_is_told():
    import pytorch_lightning as pl

    class Foreign(pl.LightningDataModule):
        def train_dataloader(self):
            return DataLoader([lists()], batch_size=None)

        val_dataloader = train_dataloader

    module = RankingModule(LinearScorer(), ListNet(), measures=["spearman"])
    with pytest.raises(ConfigError, match=r"Foreign: a data module must derive from ltr.data.RankingData"):
        trainer().fit(module, datamodule=Foreign())


def test_the_command_finds_the_package_of_the_current_folder(shop, tmp_path_factory):
    # a script in another folder, as installed commands are: Python puts that folder on its path, and not the current one
    script = tmp_path_factory.mktemp("bin") / "ltr"
    script.write_text("import sys; from ltr.cli.main import main; sys.exit(main(['losses', 'bookshop.losses.Sold']))")
    where = {"PYTHONPATH": str(Path(ltr.__file__).parents[1]), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=shop, env=where)
    assert done.returncode == 0, done.stderr
    assert "area under the link" in done.stdout
