"""``ltr benchmark``: compare losses on your data, tuned alike, with statistics."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ltr.cli.command import run as run_command
from ltr.cli.command import talk
from ltr.errors import ConfigError
from ltr.io.recipes import configuration
from ltr.machine.cores import cores
from ltr.machine.loudness import loudness

if TYPE_CHECKING:
    from ltr.experiments.publishing.results import BenchmarkResults


def benchmark(
    spec: str,
    /,
    *,
    workers: int | None = None,
    ray: str | None = None,
    folder: str | None = None,
    dry_run: bool = False,
    print_config: bool = False,
    report: bool = False,
    trust_data: bool = False,
    set: list[str] = [],  # noqa: B006 (never changed)
) -> int:
    """Compare losses: data sets x scorers x losses x seeds, each loss tuned with the same number of trials on dev.

    What is finished is never done again: a benchmark that was stopped goes on with the same command. Cells whose data
    have changed since are measured anew, with a word about it. Queries that train shares with dev or test are refused,
    unless --allow_overlap=true says that they are meant. The exit status is 1 where cells failed. At the end, and
    with --report at any time, it writes results (text, Markdown, CSV, JSON, LaTeX), per-query values (Parquet) and
    report.html into its folder.

    Settings of the spec can be changed on the command line: --seeds=5, --tuning.trials=8, --trainer.max_epochs=3,
    --data.NAME.init_args.max_length=96.

    Examples:
      ltr benchmark configs/benchmarks/quick.yaml --dry-run
      ltr benchmark configs/benchmarks/quick.yaml --workers 2

    Args:
        spec: the YAML file that describes the benchmark, or the name of a shipped one, such as quick.
        workers: cells that run side by side on this machine; default: as many as its cores hold.
        ray: send cells to a Ray cluster at this address (auto, or HOST:PORT), or to one that lives as long as the
            command (local).
        folder: where cells and results go; default: runs/benchmarks/NAME.
        dry_run: print the plan with an estimate of time, and stop.
        print_config: print the whole resolved spec, and stop.
        report: run nothing; write results and report of what is finished.
        trust_data: take finished cells of which nobody knows what their data held (made by older versions) as made of
            the data as they are now.
        set: more settings as KEY=VALUE.
    """
    from ltr.experiments.spec.reading import read_spec

    if workers is not None and workers < 1:
        raise ConfigError(f"--workers must be at least 1, got {workers}")
    overrides = [*set, *([f"folder={folder}"] if folder else [])]
    chosen = read_spec(configuration(spec, "benchmarks/"), overrides)
    if print_config:
        print(chosen.yaml(), end="")
        return 0
    talk()
    from ltr.experiments.cells.runner import reported, run

    if dry_run:
        from ltr.experiments.cells.estimate import plan_text

        print(plan_text(chosen, workers or default_workers(chosen.threads), trust_data))
        return 0
    from ltr.experiments.publishing.publish import publish

    if report:
        groups, notes = reported(chosen)
        publish(chosen, groups, _say, notes)
        return 0
    groups = run(chosen, _executor(workers, ray, chosen.threads), _say_unless_quiet, trust_data)
    results = publish(chosen, groups, _say)
    if not results.failures and not results.missing:
        return 0
    _say(f"\nincomplete   {_lacking(results)}; the same command tries them again")
    return 1


def _lacking(results: BenchmarkResults) -> str:
    """What a benchmark could not do, in a line."""
    cells = f"{len(results.failures)} of its cells failed" if results.failures else ""
    systems = f"{len(results.missing)} of its parts could not be measured" if results.missing else ""
    return " and ".join(text for text in (cells, systems) if text)


def default_workers(threads: int) -> int:
    """Cells that the cores hold which this process may use."""
    return max(1, cores() // threads)


def _executor(workers: int | None, ray: str | None, threads: int):
    if ray is None:
        from ltr.experiments.cells.workers import Processes

        return Processes(workers or default_workers(threads), threads)
    from ltr.experiments.cells.cluster import RayCluster

    return RayCluster(ray, workers, threads)


def _say(text: str) -> None:
    print(text, flush=True)


def _say_unless_quiet(text: str) -> None:
    if loudness() <= logging.INFO:
        _say(text)


def with_set_option(argv: Sequence[str]) -> list[str]:
    """Arguments with ``--tuning.trials=8`` and ``--seeds=5`` turned into ``--set tuning.trials=8 seeds=5``."""
    from dataclasses import fields

    from ltr.experiments.spec.spec import Spec

    known = {f.name for f in fields(Spec)} - {"folder"}
    own: list[str] = []
    changed: list[str] = []
    behind_set = False
    for argument in argv:
        key, equals, value = argument.partition("=")
        name = key[2:].split(".")[0]
        behind_set = key == "--set" or (behind_set and not argument.startswith("-"))
        if behind_set:  # taken here, since argparse would keep the last --set alone
            changed += [argument] if key != "--set" else [value] if equals else []
        elif key.startswith("--") and (name in known or "." in key):
            if not equals:
                raise ConfigError(f"{argument}: settings of the spec are written {argument}=VALUE")
            changed.append(argument[2:])
        else:
            own.append(argument)
    return [*own, *(["--set", *changed] if changed else [])]


def main(argv: Sequence[str]) -> int:
    if not argv:
        print(
            "ltr benchmark: name a spec, such as configs/benchmarks/quick.yaml; --help tells more; see: ltr guide benchmarks",
            file=sys.stderr,
        )
        raise SystemExit(2)
    return run_command(benchmark, with_set_option(argv), prog="ltr benchmark")
