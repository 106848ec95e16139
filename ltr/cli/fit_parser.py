"""The parser of ``ltr fit``: Lightning's command line with a run folder and shared settings linked."""

from __future__ import annotations

from typing import Any, NoReturn

import pytorch_lightning as pl
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

import ltr.data
import ltr.links
import ltr.losses
import ltr.scorers
from ltr.errors import ConfigError, LtrError
from ltr.training import RankingModule, RunFolder
from ltr.training.explaining import explain

# --model.loss=ListNet finds a class by its short name only among those that have been imported
for _part in (ltr.losses, ltr.links, ltr.scorers, ltr.data):
    for _name in _part.__all__:
        getattr(_part, _name)

EPILOG = """
The whole configuration of a recipe:   ltr fit --config configs/recipes/pydocs.yaml --print_config
Another loss:                          ltr fit --config RECIPE --model.loss=ListNet
A link inside a loss:                  ltr fit --config RECIPE --model.loss=CompositeSoftmax --model.loss.transform=Exp
What a class takes:                    ltr fit --model.loss.help=CompositeSoftmax
Go on after an interruption:           ltr fit --resume runs/NAME
"""

#: what Lightning would do otherwise: a partial validation before step 1, checkpoints and logs of its own beside the
#: run folder's, and a sampler that deals lists twice under DDP
TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": 1,
    "num_sanity_val_steps": 0,
    "logger": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "use_distributed_sampler": False,
    "log_every_n_steps": 10,
    "gradient_clip_val": 1.0,
}


class FitParser(LightningArgumentParser):
    """Reports errors as ltr does, with the nearest known name."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise ConfigError(explain(message)) from ex


class FitCLI(LightningCLI):
    """``ltr fit``'s configuration: ``model``, ``data``, ``trainer``, ``run``, ``seed_everything``."""

    @classmethod
    def of(cls, argv: list[str], trainer_defaults: dict[str, Any]) -> FitCLI:
        return cls(
            RankingModule,
            pl.LightningDataModule,
            subclass_mode_data=True,
            parser_class=FitParser,
            parser_kwargs={"prog": "ltr fit", "description": "Train a ranker.", "epilog": EPILOG},
            save_config_callback=None,
            seed_everything_default=0,
            trainer_defaults={**TRAINER_DEFAULTS, **trainer_defaults},
            args=argv,
            run=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(RunFolder, "run")
        # one home for each setting: the tokenizer is the model's, one seed decides everything
        parser.link_arguments("model.scorer.init_args.model", "data.init_args.tokenizer")
        parser.link_arguments("seed_everything", "data.init_args.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        # always the arguments that were handed in: Lightning's own method warns when they are not sys.argv
        self.config = parser.parse_args(args)

    @property
    def run_folder(self) -> RunFolder:
        return next(c for c in self.trainer.callbacks if isinstance(c, RunFolder))  # type: ignore[attr-defined]

    def resolved(self) -> str:
        """The whole configuration as YAML, no default left implicit."""
        return self.parser.dump(self.config, skip_none=False)

    def after_instantiate_classes(self) -> None:
        self.run_folder.config = self.resolved()

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
        except LtrError:
            raise
        except ValueError as error:  # jsonargparse tells so of a class that refuses a setting
            raise ConfigError(explain(str(error))) from error
