"""The public names of ltr.adapters."""

import subprocess
import sys

import pytest

import ltr.adapters


def test_names_load_lazily():
    assert "LambdaMART" in dir(ltr.adapters)
    assert ltr.adapters.LambdaMART.__module__ == "ltr.adapters.lightgbm"
    with pytest.raises(AttributeError, match=r"^module 'ltr.adapters' has no attribute 'XGB'; it has LambdaMART"):
        _ = ltr.adapters.XGB


def test_the_foreign_package_is_imported_only_when_it_is_used():
    code = "import sys, ltr.adapters; ltr.adapters.LambdaMART(); sys.exit('lightgbm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
