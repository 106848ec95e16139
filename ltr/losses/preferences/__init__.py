"""Losses of preference learning: names for settings of ltr's losses, and those that are no such setting."""
