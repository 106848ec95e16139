"""``ltr fit``: training from a YAML configuration, through Lightning's command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ltr.cli.command import shell, talk
from ltr.cli.training.fit_options import check, folder_of, help_text
from ltr.errors import ConfigError
from ltr.io.recipes import configuration
from ltr.training.run import records
from ltr.training.run.resuming import check_resumable


def main(argv: list[str]) -> int:
    if {"-h", "--help"} & set(argv):
        print(help_text())
        return 0
    argv, resume = _resume(_named(["--help" if argument == "--help=all" else argument for argument in argv]))
    check(argv)
    folder, overwrite = folder_of(argv)
    if folder is not None and resume is None and not overwrite and not {"--print_config", "--help"} & set(argv):
        records.refuse_replacing(folder)
    # everything heavy is imported here: only this command pays for it
    cli = build(argv)
    if resume is not None:
        cli.run_folder.resumed = (resume / "last.ckpt").exists()
        cli.run_folder.restarted = not cli.run_folder.resumed
    return train(cli)


def build(argv: list[str], **trainer_defaults: Any) -> Any:
    """Trainer, module, data and run folder from command-line arguments; nothing is run yet.

    The result has ``trainer``, ``model``, ``datamodule``, ``run_folder``.
    """
    # Lightning calls jsonargparse by names that are to go; that is theirs to mend
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    from ltr.cli.training.fit_parser import FitCLI
    from ltr.training.defaults import quieten

    talk()
    quieten()
    return FitCLI.of(argv, trainer_defaults)


def train(cli: Any) -> int:
    """Fit what ``build`` made, print the table, the best model's path and the next command."""
    from ltr.cli.training.fit_parser import lightning_explained
    from ltr.training.fitting import fit
    from ltr.training.overlap import RefuseOverlap

    # before the run folder, which makes room for this training; what was allowed to start may go on
    allowed = cli.config.allow_overlap or cli.run_folder.resumed
    cli.trainer.callbacks.insert(0, RefuseOverlap(allowed))
    if cli.trainer.is_global_zero:
        cli.run_folder.claim()
    with lightning_explained():
        results = fit(cli.trainer, cli.model, cli.datamodule, cli.run_folder)
    if not results:
        return 0
    best = cli.run_folder.folder / "best"
    for result in results:
        print(f"\n{result.text()}")
    print()
    print(f"best model   {best}  (dev/{cli.run_folder.monitor} {cli.run_folder.best.value:.4f})")
    print(f"next         {_next(cli, best)}")
    return 0


def _next(cli: Any, best: Path) -> str:
    """What one does with the best model."""
    from ltr.data import PreferenceData
    from ltr.scorers import FeatureScorer

    if isinstance(cli.model.scorer, FeatureScorer):
        return f"ltr predict NEW.csv {shell('--model', best)}"
    if cli.model.scorer.filing.task == "text-generation":  # what one wants of it is text, not scores
        return f"in Python: transformers.AutoModelForCausalLM.from_pretrained({str(best)!r})"
    if isinstance(cli.datamodule, PreferenceData):
        line = '{"query": "a prompt", "docs": ["a response", "another"]}'
        return f"echo '{line}' | ltr rerank {shell('--model', best)}"
    mixed = " --interpolate" if cli.run_folder.interpolate is not None else ""
    return f"ltr rerank {shell('--model', best, '--dataset', cli.datamodule.dev)} --query 'your question'{mixed}"


def _named(argv: list[str]) -> list[str]:
    """Arguments with the files of shipped configurations in place of their names."""
    behind = ["", *argv[:-1]]
    return [
        f"--config={configuration(argument.removeprefix('--config='))}"
        if argument.startswith("--config=")
        else configuration(argument)
        if before == "--config"
        else argument
        for before, argument in zip(behind, argv, strict=True)
    ]


def _resume(argv: list[str]) -> tuple[list[str], Path | None]:
    """Turn ``--resume FOLDER`` into the configuration of that folder, before the other arguments."""
    rest: list[str] = []
    folder: Path | None = None
    waiting = iter(argv)
    for argument in waiting:
        if argument == "--resume" or argument.startswith("--resume="):
            value = argument.partition("=")[2] or next(waiting, "")
            if not value:
                raise ConfigError("--resume takes the folder of a training, such as runs/demo")
            folder = Path(value)
        else:
            rest.append(argument)
    if folder is None:
        return rest, None

    check_resumable(folder)
    return ["--config", str(folder / "config.yaml"), *rest, f"--run.folder={folder}"], folder
