import pytest

from ltr.experiments.spec.reading import read_spec
from tests.experiments.specs import content, write
from tests.tiny_model import tiny_model  # noqa: F401


@pytest.fixture
def values(tiny_folder, tiny_model, tmp_path):  # noqa: F811
    """What a spec says: ``tests.experiments.specs.content``, to be changed at will."""
    return content(tiny_folder, tiny_model, tmp_path / "runs")


@pytest.fixture
def read(tmp_path, values):
    """Reads the spec that ``values`` are at that moment."""
    return lambda *overrides: read_spec(write(tmp_path / "spec.yaml", values), overrides)
