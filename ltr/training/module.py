"""RankingModule: scorer, loss, optimiser and schedule, validated by reranking with the real measures."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import Tensor

from ltr.batch import Lists
from ltr.data.base import Part, PartName, RankingData
from ltr.errors import ConfigError, LtrError
from ltr.inference.scoring import Scored, score
from ltr.io.labelled import LabelledLists
from ltr.io.trec import Qrels, Run
from ltr.losses.base import Loss
from ltr.losses.running import held
from ltr.machine.threads import alone
from ltr.metrics import (
    Evaluation,
    LabelEvaluation,
    LabelMeasure,
    Measure,
    evaluate,
    evaluate_labels,
    focus_measures,
)
from ltr.metrics.measures.focus import NAMES as FOCUS_NAMES
from ltr.metrics.measures.labels import check_measures
from ltr.metrics.measures.measure import measures as parse_measures
from ltr.scorers.base import Scorer
from ltr.scorers.retrievers.vectors import VectorScorer
from ltr.training import schedules
from ltr.training.backward import backward_in_less_memory
from ltr.training.costs import cost_of
from ltr.training.given_data import check_labels, ranking_data
from ltr.training.link_watch import LinkWatch, tell_of_drift
from ltr.training.processes import check_strategy, distributed
from ltr.training.scored import gathered, labels_by_list, predictions_of

log = logging.getLogger(__name__)


class RankingModule(pl.LightningModule):
    """Trains a scorer with a ranking loss and validates it by reranking the dev candidates.

    The cost of an optimiser step is the sum of the lists' costs divided by the number of lists that contribute, counted
    over all accumulated batches and all processes: neither gradient accumulation nor the number of processes changes
    what is learnt from the same lists. (A running centre in the loss moves with every accumulated batch.)

    Args:
        scorer: turns a batch into scores [lists, docs].
        loss: turns scores and labels into one cost per list; its own reduction is not used.
        lr: peak learning rate of the encoder (of everything, for scorers without parts).
        head_lr: peak learning rate of the scoring head; default: as ``lr``.
        weight_decay: AdamW's decoupled weight decay, for matrices only (not for biases and norms).
        warmup: share of the optimiser steps during which the rate rises from 0, in [0, 1).
        schedule: ``linear``, ``cosine`` or ``constant`` after the warm-up.
        measures: what validation and test report, in the notation of ``ltr evaluate``; beside these, or instead of them
            where the labels are real-valued, measures of labels such as ``rmse_top.2`` or ``ndcg_label@10``.
        focus: when given, also how well scores match the labels inside the top share of the labels and outside it, such
            as 0.2 for the top fifth (``dev/focus/rmse_top`` and others; see ``ltr.metrics.focus_measures``). For labels
            in score units: teacher scores, seconds, grades.

    Raises:
        ConfigError: unknown schedule or measure, a learning rate that is not positive, a warm-up outside [0, 1).
    """

    def __init__(
        self,
        scorer: Scorer,
        loss: Loss,
        lr: float = 3e-5,
        head_lr: float | None = None,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
        schedule: str = "linear",
        measures: list[str] = ["ndcg@10", "mrr@10"],  # noqa: B006 (never changed; jsonargparse shows it as the default)
        focus: float | None = None,
    ):
        super().__init__()
        schedules.check(schedule, warmup)
        for name, rate in (("lr", lr), ("head_lr", head_lr)):
            if rate is not None and not rate > 0:
                raise ConfigError(f"RankingModule: {name} must be positive, got {rate}")
        if focus is not None and not 0 < focus < 1:
            raise ConfigError(f"RankingModule: focus is the top share of the labels in (0, 1), got {focus}")
        self.scorer = scorer
        self.loss = loss
        #: what is trained on, from ``setup`` on
        self.data: RankingData
        self.focus = focus
        self.loss.reduction = "none"
        self.lr, self.head_lr, self.weight_decay = lr, head_lr, weight_decay
        self.warmup, self.schedule = warmup, schedule
        parsed = parse_measures(measures)
        self.measures = [str(m) for m in parsed]
        self._judged = [m for m in parsed if isinstance(m, Measure)]
        self.labelled = [m for m in parsed if isinstance(m, LabelMeasure)]
        #: what the last validation or test gave: values of all measures by their text, and what they were made of
        self.values: dict[str, float] = {}
        self.evaluation: Evaluation | None = None
        self.label_evaluation: LabelEvaluation | None = None
        self.validated: Run | None = None
        self.predictions = np.zeros(0, np.float32)
        #: the labels of each part (dev, test) that has been scored
        self.truths: dict[str, LabelledLists] = {}
        #: the judgements that it is measured against: of all its queries, or of those that a limited loop scores
        self.judgements: dict[str, Qrels | None] = {}
        self._scored: list[Scored] = []
        self._labels: list[np.ndarray] = []
        self._knows_labels = False
        self._sums: list[Tensor] = []
        self._watch, self._steps, self._begun = LinkWatch(loss), 0, 0
        self._resumes = False
        self._accumulated: dict[str, Any] | None = None
        self._clock, self._docs, self._batch = 0.0, 0, Lists(torch.zeros(1, dtype=torch.int64))

    @property
    def logged(self) -> list[str]:
        """Names that callbacks can monitor: every validation logs them, and ``train/loss`` every optimiser step."""
        focus = [] if self.focus is None else [f"dev/focus/{name}" for name in FOCUS_NAMES]
        return [*(f"dev/{measure}" for measure in self.measures), *focus, "train/loss"]

    def setup(self, stage: str) -> None:
        """Refuse measures that the data cannot give, and fit scorers on features to them, before anything is computed."""
        check_strategy(self.trainer.strategy)
        self.data = data = ranking_data(self.trainer)
        for name in ("dev", "test"):
            if getattr(data, name) is None or name not in {"fit": ("dev", "test")}.get(stage, data.needed(stage)):
                continue
            part = data.part(name)
            if self._judged and part.qrels is None:
                raise ConfigError(
                    f"RankingModule: measure {self._judged[0]} needs judgements, and the data have none for {name} (labels that "
                    "are real values, or plain loaders); let model.measures name measures of labels only, such as spearman, "
                    "rmse_top.2 or ndcg_label@10, or let the data's part() give judgements"
                )
            if self.labelled and part.labels is not None:
                check_measures(part.labels, self.labelled, f"RankingModule: model.measures: {name}")
        # before the optimiser is made: scorers on features build their layers once they know how many there are
        weights = set(self.scorer.state_dict())
        self.scorer.fit_to(data.inputs)
        if stage == "fit":
            self.scorer.check_fitted(weights)
            check_labels(self.loss, data)
            self.loss.check_scores(self.scorer.log_ratios)
            tell_of_drift(self.loss, data)

    # ------------------------------------------------------------------ optimiser

    def configure_optimizers(self) -> Any:
        groups = self._groups()
        if not groups:
            raise ConfigError("RankingModule: the scorer has no trainable parameter; freeze fewer layers")
        self._warn_of_rounded_steps(groups)
        # the fused step is much faster; with fp16 it would take scaled gradients out of reach of clipping
        optimizer = torch.optim.AdamW(groups, fused=self.trainer.precision != "16-mixed")
        total = self._steps = self._total_steps()
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: schedules.factor(step, total, self.warmup, self.schedule)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _warn_of_rounded_steps(self, groups: list[dict[str, Any]]) -> None:
        """Weights that are kept in few digits stay where they are when a step is smaller than half of the last one."""
        kinds = {p.dtype for group in groups for p in group["params"]} & {torch.bfloat16, torch.float16}
        if kinds:
            kind = str(min(kinds, key=str)).removeprefix("torch.")
            log.warning(
                "trainer.precision=%s: weights are kept in %s, where steps smaller than 1/%d of a weight are rounded away, so that at "
                "usual learning rates most of them do not learn; bf16-mixed computes as fast and keeps them whole",
                *(self.trainer.precision, kind, 512 if kind == "bfloat16" else 4096),
            )

    def _groups(self) -> list[dict[str, Any]]:
        """The optimiser's parameters, by learning rate and weight decay."""
        groups = []
        for part, parameters in self.scorer.parts().items():
            rate = self.head_lr if part == "head" and self.head_lr is not None else self.lr
            for decay, chosen in (
                (self.weight_decay, [p for p in parameters if p.dim() >= 2]),
                (0.0, [p for p in parameters if p.dim() < 2]),
            ):
                if chosen:
                    groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
        return groups

    def _total_steps(self) -> int:
        """Optimiser steps of the whole training.

        Lightning's own estimate would open the training loader here, before a resumed training knows its epoch.
        """
        trainer = self.trainer
        most = trainer.max_steps if trainer.max_steps != -1 else math.inf
        if trainer.max_epochs not in (-1, None):
            batches = self._batches_of(self.data.train_dataloader())
            if batches < math.inf:
                most = min(most, math.ceil(int(batches) / trainer.accumulate_grad_batches) * trainer.max_epochs)
        if most == math.inf:
            raise ConfigError(
                "RankingModule: the schedule needs an end; give trainer.max_epochs or trainer.max_steps (max_steps for a "
                "loader without a length)"
            )
        return int(most)

    def _batches_of(self, loader: Any) -> float:
        """How many batches of a training loader an epoch takes; infinite where nobody knows."""
        limit = self.trainer.limit_train_batches
        batches = _length(loader)
        return min(batches, limit) if isinstance(limit, int) else batches * limit

    # ------------------------------------------------------------------ training

    def on_fit_start(self) -> None:
        self._prepare_epoch()
        # transformers opens models in evaluation mode, and Lightning leaves modes as they are: dropout would stay off
        self.train()

    def on_train_epoch_start(self) -> None:
        if self.current_epoch:
            self._prepare_epoch()

    def on_train_epoch_end(self) -> None:
        self._watch.epoch_over(self.global_step - self._begun)

    def _prepare_epoch(self) -> None:
        self._begun = self.global_step
        with self.trainer.precision_plugin.train_step_context():
            self.scorer.before_epoch(self._coming())

    def _coming(self) -> Iterator[Lists]:
        """The batches of an epoch and those of dev; nothing is loaded before the first is asked for."""
        trainer = self.trainer
        loader = self.data.train_dataloader()
        batches = self._batches_of(loader)
        if trainer.max_steps != -1:
            batches = min(batches, (trainer.max_steps - self.global_step) * trainer.accumulate_grad_batches)
        yield from (batch.to(self.device) for batch in islice(loader, None if batches == math.inf else int(batches)))
        if self.data.dev is not None and trainer.limit_val_batches:
            yield from (batch.to(self.device) for batch in self.data.val_dataloader())

    def on_train_start(self) -> None:
        self._sums, self._docs, self._clock = [], 0, time.perf_counter()
        if self._resumes:
            self._go_on()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if not self._sums:
            return
        # between accumulated batches: what they gathered belongs to the next step
        gradients = {name: p.grad.clone() for name, p in self.named_parameters() if p.grad is not None}
        sums = torch.stack(self._sums)
        if distributed():  # the first process takes over what all have gathered
            for tensor in (sums, *gradients.values()):
                dist.all_reduce(tensor)
        checkpoint["accumulated"] = {"sums": sums, "gradients": gradients}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another model. Raises ConfigError."""
        own = {name: tuple(tensor.shape) for name, tensor in self.state_dict().items()}
        held = {name: tuple(tensor.shape) for name, tensor in checkpoint["state_dict"].items()}
        wrong = sorted(name for name in own.keys() | held.keys() if own.get(name) != held.get(name))
        if wrong:
            name = wrong[0]
            raise ConfigError(
                f"RankingModule: the checkpoint was saved with another scorer or loss: {name} has shape "
                f"{held.get(name, 'none')} there and {own.get(name, 'none')} here; resume with the settings of model.scorer "
                "and model.loss that the training began with"
            )
        for state in checkpoint.get("optimizer_states", []):
            then, now = (
                [len(group["params"]) for group in groups] for groups in (state["param_groups"], self._groups())
            )
            if then != now:
                raise ConfigError(
                    f"RankingModule: the checkpoint was saved while {sum(then)} tensors were trained, and now {sum(now)} "
                    "are; resume with the freeze_layers that the training began with"
                )
        self._resumes, self._accumulated = True, checkpoint.get("accumulated")

    def _go_on(self) -> None:
        """Take up what accumulated batches had gathered, and learning rates that were changed since the checkpoint."""
        accumulated, self._resumes, self._accumulated = self._accumulated, False, None
        if accumulated is not None and self.trainer.is_global_zero:
            self._sums = list(accumulated["sums"].to(self.device))
            for name, parameter in self.named_parameters():
                if name in accumulated["gradients"]:
                    parameter.grad = accumulated["gradients"][name].to(parameter)
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        scheduler: Any = self.lr_schedulers()
        for at, (group, own) in enumerate(zip(optimizer.param_groups, self._groups(), strict=True)):
            if own["lr"] != scheduler.base_lrs[at]:
                scheduler.base_lrs[at] = group["initial_lr"] = own["lr"]
            # the checkpoint's is that of the schedule which it was saved in, and steps may be more or fewer now
            group["lr"] = own["lr"] * scheduler.lr_lambdas[at](scheduler.last_epoch)
            group["weight_decay"] = own["weight_decay"]

    def training_step(self, batch: Lists, batch_idx: int) -> Tensor:
        self._batch = batch
        self._docs += batch.n_docs
        with self._beside_workers():
            cost = self._cost(batch)
        # undo Lightning's division by the accumulated batches and DDP's mean over processes: gradients are those of the
        # plain sum, and on_before_optimizer_step divides by the global number of lists
        return cost * self.trainer.accumulate_grad_batches * self.trainer.world_size

    def _cost(self, batch: Lists) -> Tensor:
        cost = cost_of(self.scorer, self.loss, batch, self._progress())
        if cost.level is not None:
            self._watch.center(float(cost.level))
            if isinstance(self.scorer, VectorScorer) and self.scorer.gives_cosines:
                self._watch.cosines(batch.n_docs * self.trainer.world_size)
        if cost.scores is not None:
            for name, value in self.scorer.observed(batch, cost.scores.detach()).items():
                self.log(f"train/{name}", value)
        total, count = cost.total, cost.count
        dead = total.new_zeros(()) if cost.dead is None else cost.dead
        self._sums.append(torch.stack([total.detach(), count.to(total), dead.to(total), total.new_ones(())]))
        return total

    def _progress(self) -> float:
        """Share of the optimiser steps that are done."""
        return self.global_step / max(1, self._steps)

    def backward(self, loss: Tensor, *args: Any, **options: Any) -> None:
        if self.trainer.world_size > 1 or self.trainer.precision == "16-mixed":  # which scales the loss
            return super().backward(loss, *args, **options)
        with self._beside_workers():
            trained = [p for p in self.parameters() if p.requires_grad]
            backward_in_less_memory(loss, self._cost_again, trained, self.scorer.spare)

    def optimizer_step(self, *args: Any, **options: Any) -> None:
        with self._beside_workers():
            super().optimizer_step(*args, **options)

    def _beside_workers(self) -> contextlib.AbstractContextManager:
        """While threads compute what is large, this one does the rest of a step without torch's helpers."""
        return alone() if self.scorer.deals else contextlib.nullcontext()

    def _cost_again(self) -> Tensor:
        self._sums.pop()
        with self.trainer.precision_plugin.train_step_context(), held(self.loss):
            return self._cost(self._batch)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        sums = torch.stack(self._sums).sum(0)
        self._sums = []
        if distributed():
            dist.all_reduce(sums)
        cost, count, dead, batches = sums.unbind()
        if not bool(cost.isfinite()):
            raise LtrError(
                f"RankingModule: the loss became {cost.item()} at step {self.global_step}; lower model.lr, clip gradients "
                "(trainer.gradient_clip_val=1), or train in precision 32"
            )
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        torch._foreach_div_(gradients, count.clamp(min=1).to(gradients[0]))
        docs, seconds = self._docs, time.perf_counter() - self._clock
        self._docs, self._clock = 0, time.perf_counter()
        self.log("train/loss", cost / count.clamp(min=1), prog_bar=True)
        self.log("train/docs_per_second", docs / max(seconds, 1e-9))
        self._watch.lists(float(count))
        if self._watch.sees:
            share = float(dead / batches)
            self.log("train/dead", share)
            self._watch.dead_regions(share)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        # Lightning's own refuses every fused optimiser under mixed precision, though bf16 scales no gradients
        if not gradient_clip_val:
            return
        if gradient_clip_algorithm == "value":
            torch.nn.utils.clip_grad_value_(self.parameters(), gradient_clip_val)
        else:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    # ------------------------------------------------------------------ validation and test

    def on_validation_epoch_start(self) -> None:
        self._scored, self._labels = [], []
        self._knows_labels = self.data.part("test" if self.trainer.testing else "dev").labels is not None

    on_test_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: Lists, batch_idx: int) -> None:
        # Lightning has moved the batch and set the precision already
        self._scored.extend(score(self.scorer, [batch], device=self.device, precision=None))
        if not self._knows_labels:
            self._labels.extend(labels_by_list(batch))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        self._measure("dev")
        # the time of validation is no training time
        self._clock = time.perf_counter()

    def on_test_epoch_end(self) -> None:
        self._measure("test")

    def _measure(self, part: PartName) -> None:
        known = self.data.part(part)
        self.predictions, truth = predictions_of(part, *gathered(self._scored, self._labels), known)
        self.validated, self.truths[part] = truth.ranked(self.predictions, part), truth
        self.judgements[part] = self._of_scored(part, known)
        self.evaluation = self.label_evaluation = None
        self.values = {}
        if self._judged:
            self.evaluation = evaluate(self.validated, self.judgements[part] or {}, self._judged)
            self.values |= self.evaluation.means
        if self.labelled:
            self.label_evaluation = evaluate_labels(self.predictions, truth, self.labelled, part)
            self.values |= self.label_evaluation.means
        for name in self.measures:
            self.log(f"{part}/{name}", self.values[name], prog_bar=True)
        if self.focus is not None:
            for name, value in focus_measures(self.predictions, truth.labels, self.focus).items():
                self.log(f"{part}/focus/{name}", value)

    def _of_scored(self, part: PartName, known: Part) -> Qrels | None:
        """Judgements of all queries, missing ones among them; of what was scored where the trainer limits the batches."""
        option = "limit_test_batches" if self.trainer.testing else "limit_val_batches"
        scored = self.truths[part].query_ids
        whole = known.query_ids is not None and len(scored) == len(known.query_ids)
        # an int of 1 is a single batch
        if known.qrels is None or whole or repr(getattr(self.trainer, option)) == "1.0":
            return known.qrels
        if part not in self.judgements:
            log.warning(
                "RankingModule: %s is measured on %d of its lists, since trainer.%s leaves out the others",
                *(part, len(scored), option),
            )
        return {query_id: known.qrels[query_id] for query_id in scored if query_id in known.qrels}


def _length(loader: Any) -> float:
    """Batches of a loader; infinite where it does not know."""
    try:
        return len(loader)
    except TypeError:
        return math.inf
