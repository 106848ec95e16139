"""One body and every wire format, for tests of what all of them do alike."""

import pytest

from tests.serving.wires import WIRES

BODY = {"query": "join paths", "documents": ["join two paths", "sort a list"]}
every = pytest.mark.parametrize("wire", WIRES, ids=lambda w: f"{w.name} at {w.path}")
