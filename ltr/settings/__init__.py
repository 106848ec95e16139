"""``ltr.json``: what a saved model must know about itself beyond its weights; written and read in ``base``.

A file for each kind of scorer: of ``texts``, of ``features``, of texts read apart (``twins``).
"""

from ltr.settings.base import FILE, Settings
from ltr.settings.features import FeatureSettings
from ltr.settings.texts import ModelSettings
from ltr.settings.twins import Prompts, TwinSettings

__all__ = ["FILE", "FeatureSettings", "ModelSettings", "Prompts", "Settings", "TwinSettings"]
