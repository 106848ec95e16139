"""What ltr asks of Lightning's trainer, and what Lightning need not say."""

from __future__ import annotations

import logging
import warnings
from typing import Any

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


def quieten() -> None:
    """Keep Lightning's advertisements and hints out of what is printed."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # the loaders only gather integers; worker processes would cost more than they bring
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # Lightning 2.6 asks torch 2.13 for a class that torch renames
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
