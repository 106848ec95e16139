"""The package beside is not ltr's: its modules are imported from where the tests copy it."""

from tests.tiny_model import tiny_model  # noqa: F401 (a fixture)

collect_ignore = ["bookshop"]
