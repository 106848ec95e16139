"""Training: the Lightning module, its schedules, and the run folder that a training leaves behind."""

from ltr.training.module import RankingModule
from ltr.training.run_folder import RunFolder

__all__ = ["RankingModule", "RunFolder"]
