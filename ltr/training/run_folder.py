"""The run folder: what a training leaves behind, and how it is continued."""

from __future__ import annotations

import logging
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import RunningStage
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import Tensor

from ltr.errors import ConfigError, LtrError
from ltr.io.files import disk_errors, replacing
from ltr.io.names import unless_off
from ltr.io.trec import Run, write_run
from ltr.training import records
from ltr.training.averaging import Averager
from ltr.training.interruption import Interruption
from ltr.training.matching import settings_of
from ltr.training.module import RankingModule
from ltr.training.monitor import Mode, check_callbacks, check_interpolation, monitored

log = logging.getLogger(__name__)
_say = rank_zero_only(log.info)


class RunFolder(pl.Callback):
    """Keeps everything about a training in one folder.

    ``best/`` and ``last/`` are model folders (as transformers writes them), ``last.ckpt`` continues the training
    (``ltr fit --resume FOLDER``), ``config.yaml`` is the resolved configuration, ``metrics.csv`` the course of the
    training, ``dev/*.trec`` the validation runs, and ``manifest.json`` says what ran: versions, seed, data, command.

    Args:
        folder: where; default ``runs/`` and the time of the start.
        monitor: the dev measure that decides which weights are best; one of ``model.measures``.
        mode: ``max`` when larger is better, ``min`` when smaller is; default: what the measure says (errors such as
            ``rmse`` are better when smaller).
        patience: stop after so many validations without a better value; default: never.
        average: when above 1, the mean of the weights of so many best validations is tried at the end, and kept as
            ``best`` if dev likes it better.
        interpolate: ``dev`` finds the weight with which the first stage's scores are mixed in (on the dev run, for the
            monitored measure) and stores it with the model; null does not.
        overwrite: whether a folder that holds another training may be replaced.
    """

    def __init__(
        self,
        folder: str | None = None,
        monitor: str = "ndcg@10",
        mode: Mode | None = None,
        patience: int | None = None,
        average: int = 0,
        interpolate: Literal["dev", "off", False] | None = None,
        overwrite: bool = False,
    ):
        if patience is not None and patience < 1:
            raise ConfigError(f"RunFolder: patience must be at least 1 validation, got {patience}")
        if average < 0 or average == 1:
            raise ConfigError(
                f"RunFolder: average takes 0 (off) or the weights of at least 2 validations, got {average}"
            )
        self.folder = Path(folder or time.strftime("runs/%Y-%m-%d-%H%M%S"))
        self.monitor = monitor.removeprefix("dev/")
        self.mode, self.patience, self.average = mode, patience, average
        self.interpolate, self.overwrite = unless_off(interpolate), overwrite
        self.resumed = False
        #: the resolved configuration as text, where the training was started from one
        self.config: str | None = None
        self._replaces = False
        self.best_value: float | None = None
        self.best_step = 0
        self.bad_rounds = 0
        self.averager = Averager(self.folder / "averaging", average)
        self.interruption = Interruption()
        self._measured: list[str] = []
        self._random: Tensor | None = None
        self._rows: list[dict[str, Any]] = []
        self._started: float | None = None

    # ------------------------------------------------------------------ before step 1

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        # a name made of the time may differ from process to process
        self.folder = Path(trainer.strategy.broadcast(str(self.folder)))
        self.averager.folder = self.folder / "averaging"
        data = trainer.datamodule  # type: ignore[attr-defined]
        if getattr(data, "dev", "") is None:
            raise ConfigError("RunFolder: validation decides which weights are best; name a collection as data.dev")
        if hasattr(pl_module.scorer, "check_length") and hasattr(data, "max_length"):
            pl_module.scorer.check_length(data.max_length)  # type: ignore[operator]
        self._measured = [*pl_module.measures] if isinstance(pl_module, RankingModule) else []
        measure, self.mode = monitored(self.monitor, self.mode, self._measured)
        self.monitor, self.averager.larger = str(measure), self.mode == "max"
        if self.interpolate == "dev":
            check_interpolation(measure, data)
        logged = pl_module.logged if isinstance(pl_module, RankingModule) else []
        check_callbacks([c for c in trainer.callbacks if c is not self], logged)  # type: ignore[attr-defined]

    def claim(self) -> None:
        """Create the folder. Raises ConfigError when another training lies there that may not be replaced."""
        self._replaces = (self.folder / records.MANIFEST).exists() and not self.resumed
        if self._replaces and not self.overwrite and not self._failed():
            raise ConfigError(
                f"RunFolder: {self.folder} holds another training; continue it with --resume {self.folder}, choose "
                "another --run.folder, or replace it with --run.overwrite=true"
            )
        self.folder.mkdir(parents=True, exist_ok=True)

    def _failed(self) -> bool:
        """Whether the training in the folder broke down before it left anything to continue or to use."""
        left = any((self.folder / part).exists() for part in (records.CHECKPOINT, "best", "last"))
        return not left and records.read_manifest(self.folder).get("status") == "failed"

    def _clear(self) -> None:
        """Remove the training that is to be replaced; whatever else is in the folder is the user's."""
        for part in records.PARTS:
            path = self.folder / part
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        if self._replaces:  # not in claim(): by now the data are prepared and the settings checked
            self._clear()
        if self.resumed and records.read_manifest(self.folder).get("data") != data.signature:
            log.warning("%s began with other data, or other settings of them; it goes on with these", self.folder)
        _say(data.describe())
        self._started = time.time()
        seed = os.environ.get("PL_GLOBAL_SEED")  # where Lightning keeps what seed_everything was given
        records.write_manifest(
            self.folder,
            status="running",
            loss=repr(pl_module.loss),
            seed=None if seed is None else int(seed),
            data=data.signature,
            processes=trainer.world_size,
            precision=str(trainer.precision),
        )

    # ------------------------------------------------------------------ on the way

    def on_train_start(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.world_size == 1:
            self.interruption.listen()
        # only now does a resumed trainer know its step
        if self.resumed and trainer.is_global_zero:
            self._rows = records.read_metrics(self.folder, until_step=trainer.global_step)
        # nor does it know before whether its data and settings fit the checkpoint
        if self.config is not None and trainer.is_global_zero:
            with replacing(self.folder / records.CONFIG) as file:
                file.write(self.config)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        # global_step moves only when the optimiser stepped; accumulated batches in between write no second row
        new = not self._rows or self._rows[-1]["step"] != trainer.global_step
        if new and trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._record(trainer, "train/")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        assert isinstance(pl_module, RankingModule)
        self._record(trainer, "dev/", "train/")
        value = pl_module.values[self.monitor]
        better = self.improves(value)
        self.bad_rounds = 0 if better else self.bad_rounds + 1
        if better:
            self.best_value, self.best_step = value, trainer.global_step
        if trainer.is_global_zero:
            assert pl_module.validated is not None
            write_run(self.folder / "dev" / f"step={trainer.global_step}.trec", pl_module.validated, tag="dev")
            if not math.isnan(value):
                self.averager.offer(pl_module.scorer, value, trainer.global_step)
            if better:
                self.keep_best(trainer, pl_module, pl_module.validated)
            records.write_metrics(self.folder, self._rows)
        self._save_checkpoint(trainer)
        if self.patience is not None and self.bad_rounds >= self.patience:
            trainer.should_stop = True
            best = "nan" if self.best_value is None else f"{self.best_value:.4f}"
            _say(f"stopping: dev/{self.monitor} has not improved on {best} for {self.bad_rounds} validations")

    def improves(self, value: float) -> bool:
        """Whether a value of the monitored measure is better than the best so far; an undefined one (NaN) never is."""
        if self.best_value is None or math.isnan(value):
            return not math.isnan(value)
        return value > self.best_value if self.mode == "max" else value < self.best_value

    def warn_if_first_is_best(self) -> None:
        """Warn where the first of several validations stayed the best: what was learnt afterwards is in no kept model."""
        steps = [row["step"] for row in self._rows if f"dev/{self.monitor}" in row]
        if len(steps) < 2 or self.best_step != steps[0]:
            return
        log.warning(
            "RunFolder: the first of %d validations stayed the best by dev/%s (%.4f, step %d), so best/ holds what was learnt "
            "until then and nothing later. Monitor what the loss improves (run.monitor, one of: %s), lower model.lr, or "
            "validate sooner (trainer.val_check_interval); %s has the course of all measures",
            *(len(steps), self.monitor, self.best_value, self.best_step, ", ".join(self._measured)),
            self.folder / records.METRICS,
        )

    def keep_best(self, trainer: pl.Trainer, module: RankingModule, run: Run) -> None:
        """Save the module's scorer as ``best/`` and its dev run as ``dev/best.trec``."""
        write_run(self.folder / "dev" / "best.trec", run, tag="best")
        self.save_model(trainer, module, "best")

    def save_model(self, trainer: pl.Trainer, module: RankingModule, name: str) -> None:
        """Save the scorer as a model folder; the old one stays until the new one is complete."""
        settings = settings_of(module.scorer, trainer.datamodule)  # type: ignore[attr-defined]
        module.scorer.save(self.folder / name, settings)  # type: ignore[operator]

    # ------------------------------------------------------------------ the end, good or bad

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self._started is None or trainer.state.fn != "fit":
            return
        if not isinstance(exception, KeyboardInterrupt) or trainer.global_step == 0:
            if trainer.is_global_zero:
                self._keep_trained(trainer, pl_module, exception)
                records.write_manifest(self.folder, status="failed", step=trainer.global_step)
            return
        self._save_checkpoint(trainer)
        if trainer.is_global_zero:
            records.write_metrics(self.folder, self._rows)
            records.write_manifest(self.folder, status="interrupted", step=trainer.global_step)
        _say(f"interrupted at step {trainer.global_step}; continue: ltr fit --resume {self.folder}")

    def _keep_trained(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        """Save as ``last/`` what was learnt where a validation that followed cannot be measured."""
        validating = trainer.state.stage == RunningStage.VALIDATING and trainer.global_step > 0
        if validating and isinstance(exception, LtrError):
            assert isinstance(module, RankingModule)
            self.save_model(trainer, module, "last")
            log.warning(
                "RunFolder: the validation at step %d failed; the weights of that step lie in %s",
                *(trainer.global_step, self.folder / "last"),
            )

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            assert isinstance(pl_module, RankingModule)
            assert self._started is not None
            self.save_model(trainer, pl_module, "last")
            records.write_manifest(
                self.folder,
                status="finished",
                step=trainer.global_step,
                seconds=round(time.time() - self._started, 1),
                best={"measure": f"dev/{self.monitor}", "value": self.best_value, "step": self.best_step},
            )

    def _save_checkpoint(self, trainer: pl.Trainer) -> None:
        beside = self.folder / ".last.ckpt.part"
        with disk_errors(self.folder / records.CHECKPOINT):
            trainer.save_checkpoint(beside)  # every process takes part
            if trainer.is_global_zero:
                os.replace(beside, self.folder / records.CHECKPOINT)

    def _record(self, trainer: pl.Trainer, *prefixes: str) -> None:
        values = {
            name: value.item() if isinstance(value, Tensor) else value
            for name, value in trainer.callback_metrics.items()
            if name.startswith(prefixes)
        }
        row = {"step": trainer.global_step, "epoch": trainer.current_epoch, **values}
        if self._rows and self._rows[-1]["step"] == row["step"]:
            self._rows[-1].update(row)
        else:
            self._rows.append(row)

    # what a checkpoint carries, so that a resumed training goes on judging where it stopped

    def state_dict(self) -> dict[str, Any]:
        return {
            "best_value": self.best_value,
            "best_step": self.best_step,
            "bad_rounds": self.bad_rounds,
            "averaging": self.averager.kept,
            "random": torch.get_rng_state(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_value, self.best_step = state_dict["best_value"], state_dict["best_step"]
        self.bad_rounds = state_dict["bad_rounds"]
        self.averager.kept = [tuple(entry) for entry in state_dict["averaging"]]
        self._random = state_dict["random"]

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        batch_index = args[-1]
        if batch_index % trainer.accumulate_grad_batches == 0:
            self.interruption.stop_here()
        # right before the first batch, since making a loader draws numbers too: dropout goes on where it stopped
        # (a checkpoint holds the state of the first process; the others keep their own seed)
        if self._random is not None and trainer.is_global_zero:
            torch.set_rng_state(self._random.cpu())
        self._random = None

    def on_validation_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self.interruption.stop_here()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.interruption.ignore()
