"""The run folder: what a training leaves behind, and how it is continued."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.trainer.states import RunningStage
from pytorch_lightning.utilities.exceptions import SIGTERMException
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import Tensor

from ltr.batch import Lists
from ltr.errors import ConfigError, DataError, Interrupted, LtrError
from ltr.expressions import text_of
from ltr.io.disk import disk_errors
from ltr.io.files import clear_leftovers, replacing
from ltr.io.locks import only_writer
from ltr.io.names import unless_off
from ltr.io.trec import Run, write_run
from ltr.training.given_data import ranking_data
from ltr.training.module import RankingModule
from ltr.training.processes import agreed, distributed
from ltr.training.run import records
from ltr.training.run.averaging import Averager, sums_of
from ltr.training.run.checkpoints import CheckpointFiles, random_states, refuse_requeued, set_random_states
from ltr.training.run.course import Course
from ltr.training.run.dev_part import check_dev, dev_of
from ltr.training.run.early_stopping import Best
from ltr.training.run.inputs import check_inputs
from ltr.training.run.interruption import Interruption
from ltr.training.run.monitor import Mode, check_callbacks, check_interpolation, monitored
from ltr.training.run.resuming import check_changes
from ltr.training.run.saved_models import save_model

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
        save_every_minutes: save what ``--resume`` needs so often, beside every validation; None: at validations and at
            an interruption only.
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
        save_every_minutes: float | None = 10.0,
    ):
        if patience is not None and patience < 1:
            raise ConfigError(f"RunFolder: patience must be at least 1 validation, got {patience}")
        if average < 0 or average == 1:
            raise ConfigError(
                f"RunFolder: average takes 0 (off) or the weights of at least 2 validations, got {average}"
            )
        if save_every_minutes is not None and not save_every_minutes > 0:
            raise ConfigError(f"RunFolder: save_every_minutes must be positive, or null, got {save_every_minutes}")
        self.folder = Path(folder or time.strftime("runs/%Y-%m-%d-%H%M%S"))
        self.monitor = monitor.removeprefix("dev/")
        self.mode, self.patience, self.average = mode, patience, average
        self.best = Best(self.monitor, mode, patience)
        self.interpolate, self.overwrite = unless_off(interpolate), overwrite
        self.save_every_minutes = save_every_minutes
        self.resumed = False
        #: whether the training in the folder, which left nothing to continue, is started again
        self.restarted = False
        #: the resolved configuration as text, where the training was started from one
        self.config: str | None = None
        self._replaces = False
        self.averager = Averager(self.folder / "averaging", average)
        self.interruption = Interruption()
        self._measured: list[str] = []
        self._loss = ""
        #: whether a validation has begun and not ended
        self.validating = False
        self._random: dict[str, Tensor] = {}
        #: what the weights sum to that the first batch of the last validation met
        self._validated: Tensor | None = None
        self._course = Course()
        self._started: float | None = None
        self._seconds = 0.0
        self._saved: tuple[int, float] = (-1, 0.0)
        self._claim = contextlib.ExitStack()
        #: what validations measure on, and what they did when the checkpoint was saved
        self._dev: dict[str, str] = {}
        self._held_dev: dict[str, str] = {}

    # ------------------------------------------------------------------ before step 1

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        # a name made of the time may differ from process to process
        self.folder = Path(trainer.strategy.broadcast(str(self.folder)))
        self.averager.folder = self.folder / "averaging"
        if not isinstance(pl_module, RankingModule):
            raise ConfigError(f"RunFolder: keeps trainings of ltr.RankingModule, got {type(pl_module).__name__}")
        data = ranking_data(trainer)
        if data.dev is None:
            raise ConfigError("RunFolder: validation decides which weights are best; name a collection as data.dev")
        pl_module.scorer.check_saving()
        self._loss = text_of(pl_module.loss, explicit=True)
        self._measured = [*pl_module.measures]
        measure, self.mode = monitored(self.monitor, self.mode, self._measured)
        self.monitor, self.averager.larger = str(measure), self.mode == "max"
        self.best.monitor, self.best.mode = self.monitor, self.mode
        if self.interpolate == "dev":
            check_interpolation(measure, data)
        self._dev = dev_of(data)
        logged = pl_module.logged
        check_callbacks([c for c in trainer.callbacks if c is not self], logged)  # type: ignore[attr-defined]
        if trainer.limit_val_batches == 0:
            raise ConfigError(
                "RunFolder: validation decides which weights are best, and trainer.limit_val_batches=0 switches it off; "
                "leave it out, or limit it to some batches"
            )
        check_inputs(self.folder, records.PARTS, [vars(data), vars(pl_module.scorer)])
        if not self.resumed:
            refuse_requeued(Path(trainer.default_root_dir))
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = CheckpointFiles()

    def claim(self) -> None:
        """Create the folder and hold it until ``release``, or until the process ends.

        Raises:
            ConfigError: another training lies there that may not be replaced, the training reads what it would replace,
                or it is resumed with another seed, model or monitor.
            DataError: another process trains there.
        """
        if self.config is not None:
            settings = yaml.safe_load(self.config)
            check_inputs(self.folder, records.PARTS, {k: v for k, v in settings.items() if k != "run"})
            if self.resumed:
                check_changes(self.folder, settings)
        busy = f"RunFolder: another process is training in {self.folder}; wait for it, or choose another --run.folder"
        with contextlib.ExitStack() as held:
            held.enter_context(only_writer(self.folder, self.folder / records.LOCK, busy))
            there = (self.folder / records.MANIFEST).exists()
            self._replaces = there and not self.resumed
            if self._replaces and not (self.overwrite or self.restarted):
                records.refuse_replacing(self.folder)
            if there:
                clear_leftovers(self.folder, records.PARTS)
                for part in records.PARTS:
                    clear_leftovers(self.folder / part)
            self._claim = held.pop_all()

    def release(self) -> None:
        """Let other processes train in the folder."""
        self._claim.close()

    def _clear(self) -> None:
        """Remove the training that is to be replaced; whatever else is in the folder is the user's."""
        for part in records.PARTS:
            path = self.folder / part
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.time()  # of every process: all save together when one is told to stop
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, RankingModule)
        data = pl_module.data
        if self._replaces:  # not in claim(): by now the data are prepared and the settings checked
            self._clear()
        if self.resumed:
            check_dev(self.folder, self._held_dev, self._dev, self.best)
        if self.resumed and records.read_manifest(self.folder).get("data") != data.signature:
            log.warning("%s began with other data, or other settings of them; it goes on with these", self.folder)
        _say(data.describe())
        seed = os.environ.get("PL_GLOBAL_SEED")  # where Lightning keeps what seed_everything was given
        records.write_manifest(
            self.folder,
            status="running",
            loss=self._loss,
            scorer=type(pl_module.scorer).__name__,
            base_model=self._base_model(pl_module),
            seed=None if seed is None else int(seed),
            data=data.signature,
            processes=trainer.world_size,
            precision=str(trainer.precision),
        )
        if not self.resumed:
            self._write_config()

    def _base_model(self, module: RankingModule) -> str | None:
        """The model that the training started from, as the configuration names it; None where there was none."""
        if self.config is not None:
            model = yaml.safe_load(self.config).get("model", {}).get("scorer", {}).get("init_args", {}).get("model")
            if model:
                return str(model)
        return getattr(module.scorer, "source", None) or None

    def _write_config(self) -> None:
        if self.config is not None:
            with replacing(self.folder / records.CONFIG) as file:
                file.write(self.config)

    # ------------------------------------------------------------------ on the way

    def on_train_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self.interruption.listen()  # Lightning has taken SIGTERM meanwhile
        self.interruption.wait(True)
        self._saved = (trainer.global_step if self.resumed else -1, time.monotonic())
        if not self.resumed:
            return
        # a batch that was fetched and not begun when the checkpoint was saved is fetched once more
        trainer.fit_loop.epoch_loop.batch_progress.total.reset_on_restart()
        if trainer.is_global_zero:  # only now is it known that its data and settings fit the checkpoint
            self._write_config()
        if self.best.exhausted:
            trainer.should_stop = True
            _say(
                f"{self.folder} ended at step {trainer.global_step}, since dev/{self.monitor} had not improved for "
                f"{self.best.bad_rounds} validations; a larger --run.patience trains on"
            )

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        # global_step moves only when the optimiser stepped: batches that are accumulated write no second row, and none
        # before the first step
        new = trainer.global_step > 0 and self._course.is_new(trainer.global_step)
        if new and trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._course.record(trainer, "train/")

    def on_validation_start(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.state.fn != "fit":
            self.interruption.listen()
        elif not trainer.sanity_checking:
            self.validating = True
            self._course.record(trainer, "train/")
            # what an interrupted validation leaves in the counts of a resumed training
            trainer.fit_loop.epoch_loop.val_loop.batch_progress.total.reset_on_restart()

    def on_test_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self.interruption.listen()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        assert isinstance(pl_module, RankingModule)
        self.judge(trainer, pl_module)
        self._save_checkpoint(trainer)
        if self.best.exhausted:
            trainer.should_stop = True
            best = "nan" if self.best.value is None else f"{self.best.value:.4f}"
            _say(f"stopping: dev/{self.monitor} has not improved on {best} for {self.best.bad_rounds} validations")

    def judge(self, trainer: pl.Trainer, pl_module: RankingModule) -> None:
        """Record what a validation gave, and keep the weights if they are the best."""
        self.validating = False
        self._course.record(trainer, "dev/", "train/")
        value = pl_module.values[self.monitor]
        better = self.best.judge(value, trainer.global_step)
        if trainer.is_global_zero:
            assert pl_module.validated is not None
            write_run(self.folder / "dev" / f"step={trainer.global_step}.trec", pl_module.validated, tag="dev")
            if not math.isnan(value):
                self.averager.offer(pl_module.scorer, value, trainer.global_step)
            if better:
                self.keep_best(trainer, pl_module, pl_module.validated)
            self._course.write(self.folder)

    def warn_if_first_is_best(self) -> None:
        """Warn where the first of several validations stayed the best: what was learnt afterwards is in no kept model."""
        steps = self._course.steps_of(f"dev/{self.monitor}")
        if len(steps) < 2 or self.best.step != steps[0]:
            return
        log.warning(
            "RunFolder: the first of %d validations stayed the best by dev/%s (%.4f, step %d), so best/ holds what was learnt "
            "until then and nothing later. Monitor what the loss improves (run.monitor, one of: %s), lower model.lr, or "
            "validate sooner (trainer.val_check_interval); %s has the course of all measures",
            *(len(steps), self.monitor, self.best.value, self.best.step, ", ".join(self._measured)),
            self.folder / records.METRICS,
        )

    def keep_best(self, trainer: pl.Trainer, module: RankingModule, run: Run) -> None:
        """Save the module's scorer as ``best/`` and its dev run as ``dev/best.trec``.

        Raises:
            ConfigError: these are not the weights that were validated.
        """
        now = sums_of(module)
        if self._validated is not None and not torch.allclose(self._validated, now, rtol=0, atol=0, equal_nan=True):
            raise ConfigError(
                "RunFolder: the weights after the validation are not those that were validated, so what it measured belongs to "
                "no model that could be kept; take out of trainer.callbacks what exchanges them, such as an average of "
                "weights (run.average=3 tries the mean of the weights of the three best validations)"
            )
        write_run(self.folder / "dev" / "best.trec", run, tag="best")
        self.write_best(trainer)
        records.write_manifest(self.folder, results=None)  # those of an earlier session were of other weights
        save_model(self.folder, module, "best")

    # ------------------------------------------------------------------ the end, good or bad

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self._started is None:
            return
        stopped = isinstance(exception, (KeyboardInterrupt, SIGTERMException))
        try:
            if stopped and self.interruption.safe and trainer.global_step > 0:
                self._save_checkpoint(trainer)
            elif trainer.is_global_zero:
                self._keep_trained(trainer, pl_module, exception)
        finally:
            self._end(trainer, "interrupted" if stopped else "failed")

    def _end(self, trainer: pl.Trainer, status: str) -> None:
        """Say in the manifest, and to the user, how the training ended and how it goes on."""
        if not trainer.is_global_zero:
            return
        with contextlib.suppress(DataError):  # what ended the training is told, not that the disk is full for this, too
            records.write_manifest(
                self.folder, status=status, step=trainer.global_step, seconds=round(self._elapsed(), 1)
            )
        if status != "interrupted":
            return
        if not (self.folder / records.CHECKPOINT).exists():
            _say(f"interrupted before anything was saved; start again: ltr fit --resume {self.folder}")
        else:
            lost = trainer.state.fn == "fit" and self._saved[0] != trainer.global_step
            kept = f", saved at step {self._saved[0]}" if lost else ""
            _say(f"interrupted at step {trainer.global_step}{kept}; continue: ltr fit --resume {self.folder}")

    def check_interrupted(self, trainer: pl.Trainer) -> None:
        """Stop where a signal came too late for ``trainer.fit`` to stop. Raises Interrupted."""
        if agreed(trainer.strategy.root_device, self.interruption.number is not None)[0]:
            self._end(trainer, "interrupted")
            raise Interrupted(self.interruption.number or signal.SIGTERM)

    def on_train_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if self._saved[0] != trainer.global_step:
            self._save_checkpoint(trainer)

    def _keep_trained(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        """Save as ``last/`` what was learnt where a validation that followed cannot be measured."""
        validating = trainer.state.stage == RunningStage.VALIDATING and trainer.global_step > 0
        if validating and isinstance(exception, LtrError):
            assert isinstance(module, RankingModule)
            try:
                save_model(self.folder, module, "last")
            except DataError:  # the disk that refused the validation's files refuses these
                return
            log.warning(
                "RunFolder: the validation at step %d failed; the weights of that step lie in %s",
                *(trainer.global_step, self.folder / "last"),
            )

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            assert isinstance(pl_module, RankingModule)
            assert self._started is not None
            save_model(self.folder, pl_module, "last")
            records.write_manifest(
                self.folder,
                status="finished",
                step=trainer.global_step,
                seconds=round(self._elapsed(), 1),
            )
            self.write_best(trainer)

    def write_best(self, trainer: pl.Trainer) -> None:
        """Say in the manifest which validation was the best."""
        if trainer.is_global_zero:
            best = {"measure": f"dev/{self.monitor}", "value": self.best.value, "step": self.best.step}
            records.write_manifest(self.folder, best=best)

    def _elapsed(self) -> float:
        """Seconds of training in all sessions."""
        return self._seconds + (0.0 if self._started is None else time.time() - self._started)

    def _save_checkpoint(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero:  # a resumed training reads its rows until there
            self._course.write(self.folder)
        with disk_errors(self.folder / records.CHECKPOINT):
            trainer.save_checkpoint(self.folder / records.CHECKPOINT)  # every process takes part
        self._saved = (trainer.global_step, time.monotonic())

    # what a checkpoint carries, so that a resumed training goes on judging where it stopped

    def state_dict(self) -> dict[str, Any]:
        return {
            "best_value": self.best.value,
            "best_step": self.best.step,
            "bad_rounds": self.best.bad_rounds,
            "averaging": self.averager.kept,
            # before the first batch of a resumed training it is still the one that was loaded
            "random": self._random or random_states(),
            "seconds": self._elapsed(),
            "validating": self.validating,
            "dev": self._dev,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best.value, self.best.step = state_dict["best_value"], state_dict["best_step"]
        self.best.bad_rounds = state_dict["bad_rounds"]
        self.averager.kept = [tuple(entry) for entry in state_dict["averaging"]]
        random = state_dict["random"]
        self._random = {"cpu": random} if isinstance(random, Tensor) else random
        self._seconds, self.validating = state_dict.get("seconds", 0.0), state_dict.get("validating", False)
        self._held_dev = state_dict.get("dev", {})
        gone = [p for p in ("best/model.safetensors", "dev/best.trec") if not (self.folder / p).is_file()]
        if self.resumed and self.best.value is not None and gone:
            raise DataError(
                f"cannot resume {self.folder}: {gone[0]} is not there, which belongs to the best weights so far "
                f"(dev/{self.monitor} {self.best.value:.4f} at step {self.best.step}); put it back, or start anew"
            )

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.resumed and trainer.is_global_zero:
            self._course.read(self.folder, until_step=checkpoint["global_step"])

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.validating:
            # a validation that is cut off is repeated as a whole: in Lightning's counts its first batch has begun
            counts = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
            for part in ("total", "current"):
                counts[part] = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
            counts["is_last_batch"] = False

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        # right before the first batch, since making a loader draws numbers too: dropout goes on where it stopped
        # (a checkpoint holds the state of the first process; the others keep their own seed)
        if self._random and trainer.is_global_zero:
            set_random_states(self._random)
        self._random = {}
        batch_index = args[-1]
        if batch_index % trainer.accumulate_grad_batches == 0:
            self._stop_or_save(trainer)

    def _stop_or_save(self, trainer: pl.Trainer) -> None:
        """Before a step: stop if a signal came to any process, save if it is time."""
        every, (step, when) = self.save_every_minutes, self._saved
        due = every is not None and step != trainer.global_step and time.monotonic() - when > 60 * every
        stop, save = agreed(trainer.strategy.root_device, self.interruption.number is not None, due)
        if stop:
            self.interruption.number = self.interruption.number or signal.SIGTERM
            self.interruption.stop_here()
        if save and trainer.global_step > 0:
            self._save_checkpoint(trainer)

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Lists, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx == 0:
            self._validated = sums_of(pl_module)
        if trainer.state.fn == "fit" and not distributed():  # several processes stop together, after it
            self.interruption.stop_here()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.interruption.wait(False)
