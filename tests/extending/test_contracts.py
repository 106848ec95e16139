"""What a user's classes may get wrong: it works, or it is told before anything is paid for."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from ltr import FeatureLists, RankingModule
from ltr.data import RankingData
from ltr.errors import ConfigError
from ltr.expressions import text_of, value_of
from ltr.links import Exp
from ltr.losses import ListNet
from ltr.metrics import evaluate
from ltr.scorers import FeatureScorer, LinearScorer, Scorer, load_scorer
from ltr.settings import FeatureSettings
from ltr.training import RunFolder
from ltr.training.fitting import fit
from tests.training.toys import trainer

# what Lightning says about tiny loaders and short trainings is not news here
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*but have no `val_dataloader`.*"),
]


def lists(seed: int = 0) -> FeatureLists:
    rng = np.random.default_rng(seed)
    return FeatureLists.of(
        rng.normal(size=(6, 3)), np.array([0, 3, 6]), np.array([0, 1, 2, 2, 0, 1]), None, ["a", "b"], list("uvwxyz")
    )


def loader(*batches) -> DataLoader:
    return DataLoader(list(batches), batch_size=None)


# ---------------------------------------------------------------------- constructors of scorers


class Weighed(FeatureScorer):
    def layers(self, n_features):
        return nn.Identity(), nn.Linear(n_features, 1)


class Options(Weighed):
    def __init__(self, depth: int = 1, **options):
        super().__init__()
        self.depth, self.options = depth, options


class Needed(Weighed):
    def __init__(self, n_features: int, width: int = 2):
        super().__init__(n_features)
        self.width = width


class Bare(Scorer):
    """No constructor of its own, and nothing to learn."""

    def forward(self, batch):
        return batch.scores(batch.features[:, 0])


class Several(Weighed):
    def __init__(self, *widths):
        super().__init__()
        self.widths = widths


class ByPlace(Weighed):
    def __init__(self, depth=1, /):
        super().__init__()
        self.depth = depth


class Shelf:
    class Inner(Weighed):
        pass


@pytest.mark.parametrize("made", [Options(2, rate=0.5), Options(), Needed(3, 4), Bare()], ids=repr)
def test_what_a_constructor_took_comes_back(made, tmp_path):
    made.fit_to(FeatureSettings(n_features=3))
    made.check_saving()
    made.save(tmp_path / "model")
    opened = load_scorer(tmp_path / "model", allow=["tests"])
    assert torch.equal(opened(lists()), made.eval()(lists()))
    assert opened.arguments == made.arguments
    for name in ("depth", "options", "width"):
        assert getattr(opened, name, None) == getattr(made, name, None)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (
            Several(),
            r"^Several: a saved model is made again .* the constructor takes \*widths by its place; give it a na",
        ),
        (ByPlace(), r"^ByPlace: .* the constructor takes depth=1 by its place"),
        (Shelf.Inner(), r"^Inner: a saved model names its class, .* not in another class; move it to one"),
    ],
)
def test_a_constructor_that_nobody_could_call_again_is_told_before_training(made, sentence):
    with pytest.raises(ConfigError, match=sentence):
        made.check_saving()


class Settled(Scorer):
    """Keeps what it was made with, whatever that is."""

    def __init__(self, settings=None):
        super().__init__()
        self.settings = settings

    def forward(self, batch):
        return batch.scores(batch.features[:, 0])


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({1: 2}, r"^Settled: settings=\{1: 2\} would come back from JSON as \{'1': 2\}; take texts as keys, or"),
        ([float("nan")], r"^Settled: what it was made with cannot be written as JSON \(settings: Out of range float"),
        ({"a": {3, 4}}, r"^Settled: .* \(settings: Object of type set is not JSON serializable\); take plain values"),
    ],
)
def test_an_argument_that_would_come_back_as_another_is_told_before_training(value, sentence):
    Settled({"a": (1, [2.5, None])}).check_saving()  # tuples come back as lists
    with pytest.raises(ConfigError, match=sentence):
        Settled(value).check_saving()


class Late(Scorer):
    """Makes its layer when it knows the data, which nobody tells it when it is opened."""

    def fit_to(self, settings):
        self.layer = nn.Linear(settings.n_features, 1)

    def forward(self, batch):
        return batch.scores(self.layer(batch.features)[:, 0])


def test_layers_that_a_saved_model_would_lack_are_told_before_training():
    module = RankingModule(Late(), ListNet(), measures=["spearman"])
    with pytest.raises(ConfigError, match=r"^Late: fit_to makes layer.weight, which a saved model could not be opened"):
        trainer().fit(module, loader(lists()), loader(lists(1)))


class Sized(RankingData):
    def __init__(self, train="books", size=3, shelves=("a",)):
        super().__init__(train)
        self.size, self.shelves = size, shelves


def test_the_signature_of_own_data_changes_with_their_settings():
    signatures = {made.signature for made in (Sized(), Sized(size=4), Sized(shelves=("b",)), Sized("others"))}
    assert len(signatures) == 4
    assert Sized().signature == Sized().signature


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (float("nan"), "^nan cannot be written down: no expression reads it back"),
        (len, "^'len' cannot be written down: it is no object of a class"),
        (Sized, "^'Sized' cannot be written down"),
    ],
)
def test_what_no_expression_can_say_is_told(value, sentence):
    with pytest.raises(ConfigError, match=sentence):
        text_of(value)


@pytest.mark.parametrize("name", ["layers", "shift", "scale"])
def test_an_argument_kept_where_the_base_class_keeps_its_own_is_told(name):
    made = Weighed()
    setattr(made, name, 2.0)
    with pytest.raises(ConfigError, match=rf"Weighed: self.{name} belongs to FeatureScorer; keep what is yours under"):
        made.fit_to(FeatureSettings(n_features=3))


# ---------------------------------------------------------------------- losses, written down


class Free(ListNet):
    def __init__(self, power: object = 1.0, *parts, **options):
        super().__init__()
        self.power, self.parts, self.options = power, parts, options


def test_free_options_of_a_loss_are_written_down():
    text = text_of(Free(2.0, rate=0.5, link=Exp()))
    assert text == f"{__name__}.Free(power=2.0, rate=0.5, link=Exp())"
    assert value_of(text, ["tests"]).options["rate"] == 0.5


@pytest.mark.parametrize(
    ("loss", "sentence"),
    [
        (Free(2.0, 3.0), r"Free cannot be written down: \*parts have no names; let __init__ take a list"),
        (Free({1}), "^a set cannot be written down; take numbers, texts, lists, or classes that keep their arguments"),
    ],
)
def test_a_loss_that_cannot_be_written_down_is_told_before_anything_is_replaced(loss, sentence, tmp_path):
    (tmp_path / "best").mkdir()
    (tmp_path / "manifest.json").write_text('{"status": "finished"}')
    run = RunFolder(str(tmp_path), monitor="spearman", overwrite=True)
    run.claim()
    with pytest.raises(ConfigError, match=sentence):
        fit(
            trainer(callbacks=[run]), RankingModule(LinearScorer(), loss, measures=["spearman"]), Shelves("a", "b"), run
        )
    assert (tmp_path / "best").exists()


# ---------------------------------------------------------------------- data


class Parts(RankingData):
    """Lists of some parts, without a loader of dev."""

    def train_dataloader(self):
        return loader(lists())

    def test_dataloader(self):
        return loader(lists(2))


class Shelves(Parts):
    def val_dataloader(self):
        return loader(lists(1))


def ranked(**settings) -> RankingModule:
    return RankingModule(LinearScorer(), ListNet(), lr=0.1, measures=["spearman"], **settings)


def test_a_plain_loader_is_tested_alone_and_after_a_training():
    module = ranked()
    trainer().test(module, loader(lists()), verbose=False)
    assert module.validated.query_ids == ["a", "b"]
    both = trainer()
    both.fit(module, loader(lists()), loader(lists(1)))
    both.test(module, loader(lists(2)), verbose=False)
    assert "test" in module.truths


def test_a_data_module_with_nothing_but_a_test_is_tested():
    module = ranked()
    trainer().test(module, datamodule=Parts(test="books"), verbose=False)
    assert "test" in module.truths


def test_a_part_that_has_a_name_and_no_loader_is_told_before_step_one():
    loop = trainer()
    with pytest.raises(ConfigError, match="Parts: names what dev is, and defines no val_dataloader"):
        loop.fit(ranked(), datamodule=Parts("books", "others"))
    assert loop.global_step == 0


def test_a_loader_without_batches_is_told():
    with pytest.raises(ConfigError, match="data: there is no batch of train"):
        trainer().fit(ranked(), loader(), loader(lists()))


def test_no_batch_is_lost_to_looking_at_it():
    with pytest.raises(ConfigError, match="data: dev is a generator, which can be read once only; give a DataLoader"):
        trainer().validate(ranked(), (batch for batch in [lists(), lists(1)]), verbose=False)


class Stream(IterableDataset):
    def __iter__(self):
        return iter([lists(), lists(1)])


def test_a_loader_that_does_not_know_its_length_trains_for_so_many_steps():
    stream = DataLoader(Stream(), batch_size=None)
    with pytest.raises(ConfigError, match=r"the schedule needs an end; .* \(max_steps for a loader without a length\)"):
        trainer().fit(ranked(), stream, loader(lists()))
    loop = trainer(max_steps=3, max_epochs=5)
    loop.fit(ranked(), stream, loader(lists()))
    assert loop.global_step == 3


# ---------------------------------------------------------------------- measures


def divided(grades, ranks):
    return 1 / 0


def huge(grades, ranks):
    return 10**400


def only_grades(grades):
    return 1.0


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (
            divided,
            r"divided: ZeroDivisionError: division by zero \(.*test_contracts.py:\d+\), for the grades \[1.0, 0.0\]",
        ),
        (huge, "huge: its value of a query must be a finite number, got 1000"),
        (only_grades, "only_grades: TypeError: only_grades.. takes 1 positional argument but 2 were given"),
    ],
)
def test_a_measure_that_fails_is_told_by_its_name(function, sentence):
    run, qrels = {"a": {"u": 2.0, "v": 1.0}}, {"a": {"u": 1, "v": 0}}
    with pytest.raises(ConfigError, match=f"measure {__name__}.{sentence}"):
        evaluate(run, qrels, f"{__name__}.{function.__name__}")
