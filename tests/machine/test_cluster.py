"""What goes wrong on the way to a cluster is told with what to do."""

import sys
from types import SimpleNamespace

import pytest

from ltr.errors import ConfigError
from ltr.machine.cluster import connected


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("local", r"--ray local: the cluster did not start \(too slow\); try again when the machine is less busy"),
        ("auto", r"--ray auto: no Ray cluster answers there \(too slow\); start one with ray start --head"),
    ],
)
def test_a_cluster_that_does_not_start_is_told(address, said, monkeypatch):
    def init(**settings):
        raise Exception("too slow")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    with pytest.raises(ConfigError, match=said):
        connected(address, "to test")
