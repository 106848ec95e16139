"""From a configured trainer to a finished run folder: train, average, choose the interpolation, report."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytorch_lightning as pl

from ltr.data.base import PartName, RankingData
from ltr.errors import ConfigError, Interrupted
from ltr.io.files import replacing
from ltr.io.trec import Run, read_run, write_run
from ltr.metrics import best_weight
from ltr.settings import ModelSettings, TwinSettings
from ltr.training.module import RankingModule
from ltr.training.processes import check_launcher
from ltr.training.run import records
from ltr.training.run.results import Results
from ltr.training.run.run_folder import RunFolder
from ltr.training.run.saved_models import renew_card

log = logging.getLogger(__name__)


def fit(trainer: pl.Trainer, module: RankingModule, data: RankingData, run: RunFolder) -> list[Results]:
    """Train, and leave a complete run folder.

    After the training: the mean of the best weights is tried (``run.average``), the interpolation weight is chosen on
    dev (``run.interpolate``), the test collection is scored with the best weights if the data name one.

    A training that ended before its first validation is validated once at its end.

    Raises:
        ConfigError: the training cannot be done so.
        Interrupted: a signal asked for the end; what ``--resume`` needs is saved.

    Returns:
        The results on dev, then on test where the data name one; nothing on processes other than the first.
    """
    with run.interruption.listening():
        try:
            check_launcher(trainer.strategy)
            return _fit(trainer, module, data, run)
        except SystemExit:
            if run.interruption.number is None:
                raise
            raise Interrupted(run.interruption.number) from None  # Lightning ends an interrupted training so
        finally:
            run.release()


def _fit(trainer: pl.Trainer, module: RankingModule, data: RankingData, run: RunFolder) -> list[Results]:
    checkpoint = run.folder / records.CHECKPOINT if run.resumed else None
    # weights_only: a checkpoint holds tensors and plain values, and nothing in it may run code
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    run.check_interrupted(trainer)
    if run.validating or not run.best.judged:  # the end came before any, or within the last
        log.info("validating the weights at the end of the training")
        trainer.validate(module, datamodule=data, verbose=False)
        run.judge(trainer, module)
        run.write_best(trainer)
    if run.best.value is None:
        raise ConfigError(
            f"dev/{run.monitor} was undefined (nan) or infinite at every validation, so there is no best model: it needs "
            "scores and labels that differ between documents; lower model.lr, train longer, or monitor another measure "
            f"(the weights as they are now lie in {run.folder / 'last'})"
        )
    averaged = _try_average(trainer, module, data, run)
    if trainer.is_global_zero and not averaged:
        run.warn_if_first_is_best()
    trainer.strategy.barrier()  # the first process writes what all read
    if "dev" not in module.truths:  # resumed after its last validation
        trainer.validate(module, datamodule=data, verbose=False)
    tested = None
    if data.test is not None:
        load_weights(module, run.folder / "best")
        trainer.test(module, datamodule=data, verbose=False)
        tested = module.validated
    if not trainer.is_global_zero:
        return []
    if tested is not None:
        write_run(run.folder / "test" / "best.trec", tested, tag="best")
    weight = _choose_interpolation(module, data, run)
    return _report(module, data, run, tested, weight)


def load_weights(module: RankingModule, folder: Path) -> None:
    """Load the weights of a model folder into the module's scorer."""
    module.scorer.take_weights(folder, module.device)


def _try_average(trainer: pl.Trainer, module: RankingModule, data: RankingData, run: RunFolder) -> bool:
    """Whether the mean of the best weights became the best model."""
    # only the first process kept weights, and all must validate their mean together
    run.averager.kept = trainer.strategy.broadcast(run.averager.kept)
    if not run.averager.load_mean(module.scorer):
        return False
    trainer.validate(module, datamodule=data, verbose=False)
    assert module.validated is not None
    value = module.values[run.monitor]
    better = run.best.improves(value)
    log.info(
        "mean of the weights of %d validations: dev/%s %.4f, %s %.4f",
        len(run.averager.kept), run.monitor, value, "better than" if better else "not better than", run.best.value,
    )  # fmt: skip
    if better:
        run.best.value = value
        if trainer.is_global_zero:
            run.keep_best(trainer, module, module.validated)
            best = {"measure": f"dev/{run.monitor}", "value": value, "averaged": len(run.averager.kept)}
            records.write_manifest(run.folder, best=best)
    return better


def _choose_interpolation(module: RankingModule, data: RankingData, run: RunFolder) -> float | None:
    if run.interpolate is None:
        return None
    dev = read_run(run.folder / "dev" / "best.trec")
    first, qrels = data.part("dev").first, module.judgements["dev"]
    assert first is not None  # else ``check_interpolation`` refused
    assert qrels is not None
    weight, value = best_weight(first, dev, qrels, run.monitor)
    best = run.folder / "best"
    kind = ModelSettings if data.apart is None else TwinSettings
    replace(kind.read(best), interpolation=weight, interpolated_with=first.name).write(best)
    log.info(
        "interpolation: weight %.2f of the first stage (%s) gives dev/%s %.4f", weight, first.name, run.monitor, value
    )
    return weight


def _report(
    module: RankingModule, data: RankingData, run: RunFolder, tested: Run | None, weight: float | None
) -> list[Results]:
    dev = read_run(run.folder / "dev" / "best.trec")
    results = []
    parts: tuple[tuple[PartName, Run | None], ...] = (("dev", dev), ("test", tested))
    for name, trained in parts:
        if trained is not None:
            part = data.part(name)
            scale = (data.mean_label, data.back) if module.labelled else (None, None)
            made = name, part.first, trained, weight, module.judgements[name], module.measures, module.truths[name]
            results.append(Results.of(*made, *scale))
    with replacing(run.folder / records.RESULTS) as file:
        file.write("\n\n".join(r.text() for r in results) + "\n")
    records.write_manifest(run.folder, results={r.part: r.content() for r in results})
    for folder in records.MODELS:
        renew_card(run.folder, module, folder)
    return results
