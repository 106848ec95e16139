"""A class that replaces another starts from its own defaults; of the same class, what was said before stays."""

import pytest
import yaml

from ltr.cli.training import fit
from ltr.cli.training.replacing import with_own_defaults
from tests.cli.feature_files import write_fold, write_log
from tests.own_classes import own  # noqa: F401

FIRST = """
model:
  scorer: {class_path: ltr.scorers.MLPScorer, init_args: {hidden: [7], dropout: 0.3}}
  loss:
    class_path: ltr.losses.CompositeSoftmax
    init_args:
      transform:
        class_path: ltr.links.Sum
        init_args:
          parts:
          - {class_path: ltr.links.Identity}
          - {class_path: ltr.links.Softplus, init_args: {center: 1.0, width: 3.0}}
      targets: {class_path: ltr.losses.Positives}
data: {class_path: ltr.data.LetorData, init_args: {fold: Fold1, lists_per_batch: 3, standardise: false}}
"""


@pytest.fixture
def settings(tmp_path):
    """What ``ltr fit`` would train with, after a configuration and other arguments."""
    write_fold(tmp_path / "Fold1", lists=2)
    (tmp_path / "first.yaml").write_text(FIRST.replace("fold: Fold1", f"fold: {tmp_path}/Fold1"))

    def parsed(*arguments: str) -> dict:
        written = [
            f"--config={_file(tmp_path / f'{i}.yaml', a)}" if a.startswith("\n") else a for i, a in enumerate(arguments)
        ]
        cli = fit.build(["--config", f"{tmp_path}/first.yaml", *written])
        return yaml.safe_load(cli.resolved())

    return parsed


def _file(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "given",
    [
        ["--model.loss=ListNet"],
        ["--model.loss", "ListNet"],
        ["--model.loss=ListNet()"],
        ["--model.loss=ltr.losses.ListNet"],
        ["--model.loss.class_path=ltr.losses.ListNet"],
        ["--model.loss.class_path", "ListNet"],
        ["--model.loss={class_path: ListNet}"],
        ["--model={loss: {class_path: ListNet}}"],
        ["\nmodel: {loss: {class_path: ltr.losses.ListNet}}"],
        ["\nmodel: {loss: ListNet}"],
        ["--model.loss=RankNet", "--model.loss=ListNet"],
        ["--model.loss=ListNet", "--model.loss=ltr.losses.ListNet"],
    ],
    ids=str,
)
def test_another_loss_keeps_nothing(given, settings):
    assert settings(*given)["model"]["loss"] == {
        "class_path": "ltr.losses.ListNet",
        "init_args": {
            "targets": {"class_path": "ltr.losses.LabelSoftmax", "init_args": {"temperature": 1.0}},
            "reduction": "mean",
        },
    }


def test_another_scorer_and_other_data_keep_nothing(settings, tmp_path):
    log_file = write_log(tmp_path / "log.csv")
    said = settings("--model.scorer=AttentionScorer", "--data=EngagementData", f"--data.train={log_file}")
    again = settings("--model.scorer=AttentionScorer()")["model"]["scorer"]
    assert said["model"]["scorer"]["init_args"] == again["init_args"]
    assert said["model"]["scorer"]["init_args"]["dropout"] != 0.3
    assert said["data"]["init_args"]["lists_per_batch"] == 16


def test_a_second_configuration_with_another_class_and_other_settings(settings):
    said = settings("\nmodel: {loss: {class_path: LambdaRank, init_args: {cutoff: 5}}}", "--model.loss.sigma=2")
    assert said["model"]["loss"] == settings("--model.loss=LambdaRank(cutoff=5, sigma=2)")["model"]["loss"]


def test_another_class_inside_a_class(settings):
    said = settings("--model.loss.transform=Softplus(center=2.0, width=4.0)", "--model.loss.transform=Exp")
    loss = said["model"]["loss"]["init_args"]
    assert loss["transform"]["init_args"]["width"] == 1.0
    assert loss["targets"]["class_path"] == "ltr.losses.Positives"  # the loss is the same


def test_lists_are_said_as_a_whole(settings):
    again = "{class_path: Sum, init_args: {parts: [{class_path: Softplus}, {class_path: Softplus}]}}"
    parts = settings(f"--model.loss.transform={again}")["model"]["loss"]["init_args"]["transform"]["init_args"]["parts"]
    assert parts[0] == parts[1]
    assert parts[1]["init_args"]["width"] != 3.0


@pytest.mark.parametrize(
    "given",
    [
        "--model.loss=CompositeSoftmax",
        "--model.loss.class_path=ltr.losses.CompositeSoftmax",
        "\nmodel: {loss: {class_path: CompositeSoftmax, init_args: {form: proper}}}",
        "--model.loss.form=proper",
    ],
)
def test_of_the_same_class_everything_stays(given, settings):
    assert settings(given)["model"] == yaml.safe_load(FIRST)["model"] | settings()["model"]


def test_arguments_that_have_no_default_are_kept(settings):
    said = settings("--model.loss=Matching(Exp(width=0.5))", "--model.loss=DifferenceMatching")
    assert said["model"]["loss"]["init_args"]["link"]["init_args"]["width"] == 0.5


def test_a_loss_of_ones_own_that_passes_arguments_on(own, settings, tmp_path):  # noqa: F811
    (tmp_path / f"{own}.py").write_text(
        "from ltr.losses import ListNet\n\n\nclass Mine(ListNet):\n"
        "    def __init__(self, alpha: float = 1.0, **kwargs):\n        super().__init__(**kwargs)\n        self.alpha = alpha\n"
    )
    arguments = settings(f"--model.loss={own}.Mine")["model"]["loss"]["init_args"]
    assert arguments["alpha"] == 1.0
    assert arguments["targets"]["class_path"] == "ltr.losses.LabelSoftmax"


TENSORBOARD = "trainer: {logger: {class_path: TensorBoardLogger, init_args: {save_dir: a, name: mine, prefix: p}}}"
PATH = "pytorch_lightning.loggers.CSVLogger"


@pytest.mark.parametrize(
    "given",
    [
        ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=b"],
        ["\ntrainer: {logger: {class_path: CSVLogger, init_args: {save_dir: b}}}"],
        ["--trainer.logger=CSVLogger", "--trainer.logger=TensorBoardLogger", f"--trainer.logger={PATH}", "--trainer.logger.save_dir=b"],
    ],
    ids=str,
)  # fmt: skip
def test_a_class_of_lightning_by_its_short_name_keeps_nothing_either(given, settings):
    assert settings(f"\n{TENSORBOARD}", *given)["trainer"]["logger"] == {
        "class_path": PATH,
        "init_args": {
            "save_dir": "b", "name": "lightning_logs", "version": None, "prefix": "", "flush_logs_every_n_steps": 100,
        },
    }  # fmt: skip


@pytest.mark.parametrize("given", ["TensorBoardLogger", "pytorch_lightning.loggers.TensorBoardLogger"])
def test_the_same_class_of_lightning_keeps_everything_by_either_name(given, settings):
    kept = settings(f"\n{TENSORBOARD}", f"--trainer.logger={given}")["trainer"]["logger"]["init_args"]
    assert (kept["save_dir"], kept["name"], kept["prefix"]) == ("a", "mine", "p")


@pytest.mark.parametrize(
    ("place", "before", "after", "default"),
    [
        ("trainer.callbacks", "[{class_path: EarlyStopping}]", "[{class_path: ModelCheckpoint}]", "save_top_k: 1"),
        ("trainer.strategy", "DDPStrategy", "FSDPStrategy", "timeout: '0:30:00'"),
        ("trainer.strategy", "FSDPStrategy", "DDPStrategy", "static_graph: false"),
        ("optimizer", "AdamW", "SGD", "weight_decay: 0"),
        ("lr_scheduler", "StepLR", "ExponentialLR", "last_epoch: -1"),
    ],
)
def test_whatever_takes_a_class_of_torch_or_lightning_starts_from_its_defaults(place, before, after, default):
    first, second = with_own_defaults([f"--{place}={before}", f"--{place}={after}"])
    assert first == f"--{place}={before}"
    assert default in second


def test_short_names_that_nobody_knows_here_are_the_parser_s_to_refuse():
    # the last one has two classes
    said = [
        "--trainer.logger=CSVLogger",
        "--trainer.logger=NoLogger",
        "--lr_scheduler=StepLR",
        "--lr_scheduler=ReduceLROnPlateau",
    ]
    assert with_own_defaults(said) == said
    # what is added to a list takes the place of nothing
    more = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks+=ModelCheckpoint"]
    assert with_own_defaults(more) == more


def test_what_replaces_nothing_is_left_as_it_was(tmp_path):
    (tmp_path / "first.yaml").write_text(FIRST)
    said = [
        f"--config={tmp_path}/first.yaml", "--model.lr=1", "--run.overwrite", "--data.train=Some.Folder",
        "--data.train=Other.Folder", "--model.loss.transform=None", "--trainer.callbacks+=EarlyStopping", "--model.loss={",
    ]  # fmt: skip
    assert with_own_defaults(said) == said
