import logging

import pytest

from tests.cli.feature_files import write_fold


@pytest.fixture(scope="session")
def fold(tmp_path_factory):
    """A fold of SVMlight files with 12 lists in each part."""
    return write_fold(tmp_path_factory.mktemp("data") / "Fold1")


@pytest.fixture
def said(caplog):
    """What ltr logs, from INFO on."""
    caplog.set_level(logging.INFO, logger="ltr")
    return caplog
