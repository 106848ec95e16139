"""The public names of ltr.integrations."""

import subprocess
import sys

import pytest

import ltr.integrations


def test_names_load_lazily():
    assert "LambdaMART" in dir(ltr.integrations)
    assert ltr.integrations.LambdaMART.__module__ == "ltr.integrations.lightgbm"
    with pytest.raises(AttributeError, match=r"^module 'ltr.integrations' has no attribute 'XGB'; known: LambdaMART"):
        _ = ltr.integrations.XGB


def test_the_foreign_package_is_imported_only_when_it_is_used():
    code = "import sys, ltr.integrations; ltr.integrations.LambdaMART(); sys.exit('lightgbm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_former_name_still_gives_the_same_class():
    import ltr.adapters

    assert ltr.adapters.LambdaMART is ltr.integrations.LambdaMART
