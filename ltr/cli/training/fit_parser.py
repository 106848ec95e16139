"""The parser of ``ltr fit``: Lightning's command line with a run folder and shared settings linked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NoReturn

import yaml
from jsonargparse import Namespace, get_loader, set_loader
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

import ltr.data
import ltr.links
import ltr.losses
import ltr.scorers
from ltr.cli.training.fit_options import EXAMPLES
from ltr.cli.training.replacing import with_own_defaults
from ltr.data.base import RankingData
from ltr.errors import ConfigError, LtrError
from ltr.experiments.spec.building import build
from ltr.expressions import expanded, is_expression, settled_mapping
from ltr.io.importing.imports import with_current_folder
from ltr.training import RankingModule, RunFolder
from ltr.training.defaults import TRAINER_DEFAULTS
from ltr.training.explaining import explain, refused_by_lightning
from ltr.training.progress import Progress, instead_of_bar

# --model.loss=ListNet finds a class by its short name only among those that have been imported
for _part in (ltr.losses, ltr.links, ltr.scorers, ltr.data):
    for _name in _part.__all__:
        getattr(_part, _name)

#: jsonargparse's name for how values are read: YAML in which an expression stands for a class_path with init_args
MODE = "ltr"


class FitParser(LightningArgumentParser):
    """Takes expressions for class_path mappings, and reports errors as ltr does, with the nearest known name."""

    #: texts that look like expressions and are none: they may be names of files, or mistakes
    failed: ClassVar[list[tuple[str, ConfigError]]] = []

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        for text, told in self.failed:
            if text in message:
                raise told from ex
        raise ConfigError(explain(message)) from ex

    @classmethod
    def load(cls, text: str) -> Any:
        """The value of an argument, or the content of a configuration."""
        return expanded(text if is_expression(text) else get_loader("yaml")(text), cls.failed)


set_loader(MODE, FitParser.load, exceptions=(yaml.YAMLError,))


#: settings of the trainer that Lightning divides by -> the least that it can
LEAST = {"accumulate_grad_batches": 1, "check_val_every_n_epoch": 1, "log_every_n_steps": 1, "gradient_clip_val": 0}


def check_trainer(settings: Mapping[str, Any]) -> None:
    """Refuse what Lightning takes and then breaks on. Raises ConfigError with the setting and what it may be."""
    for name, least in LEAST.items():
        value = settings[name]
        if value is not None and not value >= least:
            raise ConfigError(f"trainer.{name} must be at least {least}, got {value}")
    interval = settings["val_check_interval"]
    if isinstance(interval, (int, float)) and not interval > 0:
        raise ConfigError(
            f"trainer.val_check_interval must be above 0: batches, or a share of an epoch, got {interval}"
        )
    if settings["overfit_batches"]:
        raise ConfigError(
            "trainer.overfit_batches would change how lists are dealt; let data.train name a few lists, such as "
            "'NAME[:1%]', and data.dev the same"
        )


@contextlib.contextmanager
def lightning_explained() -> Iterator[None]:
    """Turns what Lightning refuses into a ConfigError: its settings are the user's, and a traceback helps nobody."""
    try:
        yield
    except LtrError:
        raise
    except Exception as error:  # what is not a refusal of Lightning's is raised again
        said = refused_by_lightning(error)
        if said is None:
            raise
        raise ConfigError(f"Lightning refuses these settings: {said}") from error


def _plain(value: Any) -> Any:
    """A configuration as mappings, also inside lists and tuples."""
    if isinstance(value, Namespace):
        return {key: _plain(one) for key, one in vars(value).items()}
    return type(value)(map(_plain, value)) if isinstance(value, (list, tuple)) else value


def _parsed(value: Any) -> Any:
    """The same, as jsonargparse keeps it."""
    if isinstance(value, dict):
        return Namespace(**{key: _parsed(one) for key, one in value.items()})
    return type(value)(map(_parsed, value)) if isinstance(value, (list, tuple)) else value


class FitCLI(LightningCLI):
    """``ltr fit``'s configuration: ``model``, ``data``, ``trainer``, ``run``, ``seed_everything``."""

    @classmethod
    def of(cls, argv: list[str], trainer_defaults: dict[str, Any]) -> FitCLI:
        FitParser.failed.clear()
        with_current_folder()  # jsonargparse imports the classes that a class_path names
        with lightning_explained():
            return cls._made(argv, trainer_defaults)

    @classmethod
    def _made(cls, argv: list[str], trainer_defaults: dict[str, Any]) -> FitCLI:
        return cls(
            RankingModule,
            RankingData,
            subclass_mode_data=True,
            parser_class=FitParser,
            parser_kwargs={
                "prog": "ltr fit",
                "description": "Train a ranker.",
                "epilog": EXAMPLES,
                "parser_mode": MODE,
                "allow_abbrev": False,
            },
            save_config_callback=None,
            seed_everything_default=0,
            trainer_defaults={**TRAINER_DEFAULTS, **trainer_defaults},
            args=with_own_defaults(argv),
            run=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(RunFolder, "run")
        parser.add_argument(
            "--allow_overlap", type=bool, default=False, help="Train although dev or test share queries with train."
        )
        # one home for each setting: the tokenizer is the model's, one seed decides everything
        parser.link_arguments("model.scorer.init_args.model", "data.init_args.tokenizer")
        parser.link_arguments("seed_everything", "data.init_args.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        # always the arguments that were handed in: Lightning's own method warns when they are not sys.argv
        self.config = parser.parse_args(args)
        check_trainer(self.config.trainer)

    @property
    def run_folder(self) -> RunFolder:
        return next(c for c in self.trainer.callbacks if isinstance(c, RunFolder))  # type: ignore[attr-defined]

    def resolved(self) -> str:
        """The whole configuration as YAML, no default left implicit."""
        return self.parser.dump(self.config, skip_none=False)

    def after_instantiate_classes(self) -> None:
        self.run_folder.config = self.resolved()
        #: behind the run folder, which judges a validation before its value is told
        self.progress = Progress(self.run_folder, lines=instead_of_bar(self.trainer))
        self.trainer.callbacks.append(self.progress)  # type: ignore[attr-defined]

    def _settle_focus(self) -> None:
        """Put numbers where a link waits for the training labels: they are in every record of this training."""

        def labels() -> Any:
            return build("data", _plain(self.config.data)).labels_to_focus()

        self.config.model.loss = _parsed(settled_mapping(_plain(self.config.model.loss), labels))

    def instantiate_classes(self) -> None:
        self._settle_focus()
        with lightning_explained():
            try:
                super().instantiate_classes()
            except LtrError:
                raise
            except ValueError as error:  # jsonargparse tells so of a class that refuses a setting
                raise ConfigError(explain(str(error))) from error
