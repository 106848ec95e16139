"""``ltr.json``: what a saved model must know about itself beyond its weights."""

from ltr.settings.base import FILE, Settings
from ltr.settings.features import FeatureSettings
from ltr.settings.texts import ModelSettings

__all__ = ["FILE", "FeatureSettings", "ModelSettings", "Settings"]
