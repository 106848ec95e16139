"""The ways to train on preferences that align.py compares; each loads its own package only.

A way takes a task (``model``, ``kind`` (``dpo`` or ``reward``), ``bf16``, ``device``, ``steps``, ``pairs`` in a step, ``texts``
as [prompt, chosen, rejected], and what is its own) and a clock that is told the end of each step. All train all weights with
AdamW at the same rate, cut gradients at norm 1, read the texts through the model's chat template, and compute the activations
of layers again for the gradient unless ``kept`` says otherwise; what else a package does by default stays as it is.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.training_ways import LR, Clock, Task

#: no text is longer
MAX_LENGTH = 512


def ltr(task: Task, clock: Clock) -> None:
    """ltr's module under Lightning's trainer. What it computes of the reference before the first step is shared by the steps."""
    import pytorch_lightning as pl

    from ltr.data import PreferenceData
    from ltr.losses import DPO, BradleyTerry
    from ltr.scorers import CausalScorer, PolicyRatio
    from ltr.training import RankingModule
    from ltr.training.defaults import quieten

    class Ticks(pl.Callback):
        def on_fit_start(self, *_: Any) -> None:
            clock.tick()

        def on_train_start(self, *_: Any) -> None:
            clock.share(task["steps"])

        def on_train_batch_end(self, *_: Any) -> None:
            clock.tick()

    quieten()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LTR_CACHE"] = folder  # every process computes the reference
        file = Path(folder, "pairs.jsonl")
        file.write_text(
            "".join(
                json.dumps(dict(zip(("prompt", "chosen", "rejected"), one, strict=True))) + "\n"
                for one in task["texts"]
            )
        )
        if task["kind"] == "dpo":
            scorer: Any = PolicyRatio(task["model"], checkpointing=not task.get("kept"))
        else:
            scorer = CausalScorer(task["model"], prompt=None, checkpointing=not task.get("kept"))
        length = min(MAX_LENGTH, scorer.max_positions or MAX_LENGTH)
        data = PreferenceData(str(file), tokenizer=scorer.source, max_length=length, lists_per_batch=task["pairs"])
        trainer = pl.Trainer(
            max_steps=task["steps"], precision="bf16-mixed" if task["bf16"] else "32-true", gradient_clip_val=1.0,
            accelerator="gpu" if task["device"].startswith("cuda") else "cpu", devices=1, callbacks=[Ticks()], logger=False,
            limit_val_batches=0, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        loss = DPO() if task["kind"] == "dpo" else BradleyTerry()
        trainer.fit(RankingModule(scorer, loss, lr=LR, measures=["pair_accuracy"]), data)


def trl(task: Task, clock: Clock) -> None:
    """TRL's DPOTrainer or RewardTrainer, with its own settings."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

    class Ticks(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            clock.tick()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    rows = [
        {
            "prompt": [{"role": "user", "content": prompt}],
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
        }
        for prompt, chosen, rejected in task["texts"]
    ]
    settings, trainer = (DPOConfig, DPOTrainer) if task["kind"] == "dpo" else (RewardConfig, RewardTrainer)
    with tempfile.TemporaryDirectory() as folder:
        given = settings(
            output_dir=folder, per_device_train_batch_size=task["pairs"], max_steps=task["steps"], learning_rate=LR,
            bf16=task["bf16"], use_cpu=not task["device"].startswith("cuda"), logging_strategy="no", save_strategy="no",
            report_to="none", disable_tqdm=True, max_grad_norm=1.0, max_length=MAX_LENGTH,
            gradient_checkpointing=not task.get("kept"),
        )  # fmt: skip
        trainer(model=task["model"], args=given, train_dataset=Dataset.from_list(rows), callbacks=[Ticks()]).train()


WAYS: dict[str, Callable[[Task, Clock], None]] = {"ltr": ltr, "trl": trl}
