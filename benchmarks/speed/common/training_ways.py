"""The ways to train a cross-encoder on lists that train.py compares; each loads its own package only.

A way takes a task (``model``, ``bf16``, ``device``, ``steps``, ``lists``, ``docs``, ``max_length``, ``questions`` as
[query, passages, place of the right one], and what is its own) and a clock that is told the end of each step. All begin with
AdamW at the same rate and cut gradients at norm 1; what else a package does by default stays as it is.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Task = dict[str, Any]
LR = 2e-5


class Clock:
    """Seconds between ticks: the steps, everything that belongs to them included."""

    def __init__(self, device: str):
        self._cuda = device.startswith("cuda")
        self._last: tuple[float, float] | None = None
        self._more = 0.0, 0.0
        self.seconds: list[float] = []
        self.processor_seconds: list[float] = []

    def tick(self) -> None:
        """The first begins the first step, the others end one."""
        if self._cuda:
            import torch

            torch.cuda.synchronize()
        now = time.perf_counter(), time.process_time()
        if self._last is not None:
            self.seconds.append(now[0] - self._last[0] + self._more[0])
            self.processor_seconds.append(now[1] - self._last[1] + self._more[1])
        self._last = now

    def share(self, steps: int) -> None:
        """What was computed since the last tick belongs to so many steps alike, and the first of them begins."""
        before = self._last
        self._last = None
        self.tick()
        if before is not None and self._last is not None:
            self._more = (self._last[0] - before[0]) / steps, (self._last[1] - before[1]) / steps


def ltr(task: Task, clock: Clock) -> None:
    """ltr's module under Lightning's trainer, tokenising each batch when it is taken."""
    import pytorch_lightning as pl

    from common.lists import Questions
    from common.texts import Asked
    from ltr import losses
    from ltr.scorers import CrossEncoder
    from ltr.training import RankingModule
    from ltr.training.defaults import quieten

    class Ticks(pl.Callback):
        def on_train_start(self, *_: Any) -> None:
            clock.tick()

        def on_train_batch_end(self, *_: Any) -> None:
            clock.tick()

    quieten()
    scorer = CrossEncoder(task["model"], attention_dropout=task.get("attention_dropout", 0.0))
    data = Questions([Asked(*q) for q in task["questions"]], scorer.tokenizer, task["lists"], task["max_length"])
    trainer = pl.Trainer(
        max_steps=task["steps"], precision="bf16-mixed" if task["bf16"] else "32-true", gradient_clip_val=1.0,
        accelerator="gpu" if task["device"].startswith("cuda") else "cpu", devices=1, callbacks=[Ticks()], logger=False,
        limit_val_batches=0, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    # a measure of labels: others are compiled in the background while training begins, which is no part of a step
    trainer.fit(RankingModule(scorer, getattr(losses, task["loss"])(), lr=LR, measures=["spearman"]), data)


def sentence_transformers(task: Task, clock: Clock) -> None:
    """CrossEncoderTrainer with a loss on lists; dropout, batches and loss settings as they come."""
    from datasets import Dataset
    from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderTrainer, losses
    from sentence_transformers.cross_encoder.training_args import CrossEncoderTrainingArguments
    from transformers import TrainerCallback

    class Ticks(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            clock.tick()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    model = CrossEncoder(task["model"], device=task["device"], max_length=task["max_length"], num_labels=1)
    columns = {
        "query": [query for query, _, _ in task["questions"]],
        "docs": [docs for _, docs, _ in task["questions"]],
        "labels": [[int(i == right) for i in range(len(docs))] for _, docs, right in task["questions"]],
    }
    with tempfile.TemporaryDirectory() as folder:
        settings = CrossEncoderTrainingArguments(
            output_dir=folder, per_device_train_batch_size=task["lists"], max_steps=task["steps"], learning_rate=LR,
            bf16=task["bf16"], use_cpu=not task["device"].startswith("cuda"), logging_strategy="no",
            save_strategy="no", report_to="none", disable_tqdm=True, max_grad_norm=1.0,
        )  # fmt: skip
        CrossEncoderTrainer(
            model=model, args=settings, train_dataset=Dataset.from_dict(columns),
            loss=getattr(losses, task["loss"])(model), callbacks=[Ticks()],
        ).train()  # fmt: skip


def lightning_ir(task: Task, clock: Clock) -> None:
    """Lightning IR's trainer with InfoNCE on runs of as many documents."""
    import torch
    from lightning.pytorch.callbacks import Callback
    from lightning_ir import CrossEncoderModule, InfoNCE, LightningIRDataModule, LightningIRTrainer, RunDataset
    from lightning_ir.models import MonoConfig

    class Ticks(Callback):
        def on_train_start(self, *_: Any) -> None:
            clock.tick()

        def on_train_batch_end(self, *_: Any) -> None:
            clock.tick()

    rows = [
        {
            "query_id": f"q{i}", "query": query, "doc_id": f"d{i}-{j}", "text": doc, "rank": j + 1,
            "score": float(len(docs) - j), "relevance": int(j == right),
        }
        for i, (query, docs, right) in enumerate(task["questions"])
        for j, doc in enumerate(docs)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.jsonl")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        # 32 + 220 tokens and the special ones are the 256 of the others
        config = MonoConfig(query_length=32, doc_length=task["max_length"] - 36)
        module = CrossEncoderModule(task["model"], config=config, loss_functions=[InfoNCE()])
        module.set_optimizer(torch.optim.AdamW, lr=LR)
        n = task["docs"]
        data = RunDataset(path, depth=n, sample_size=n, sampling_strategy="single_relevant", targets="relevance")
        trainer = LightningIRTrainer(
            max_steps=task["steps"], accelerator="gpu" if task["device"].startswith("cuda") else "cpu", devices=1,
            precision="bf16-mixed" if task["bf16"] else "32-true", gradient_clip_val=1.0, callbacks=[Ticks()],
            logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, LightningIRDataModule(train_dataset=data, train_batch_size=task["lists"]))


WAYS: dict[str, Callable[[Task, Clock], None]] = {
    "ltr": ltr,
    "sentence-transformers": sentence_transformers,
    "lightning-ir": lightning_ir,
}
