"""Processors by affinity and by the quotas of control groups, from files as Linux writes them."""

import os

import pytest

from ltr.machine import cores as machine
from ltr.machine.cores import affinity, cores, quota

#: version 2, version 1 as distributions mount it, and version 1 beside version 2 without controllers
UNIFIED = "0::/system.slice/job.scope\n"
LEGACY = "12:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n1:name=systemd:/docker/ab\n"
HYBRID = LEGACY + "0::/docker/ab\n"


@pytest.fixture
def limits(tmp_path):
    """A quota from the text of /proc/self/cgroup and of the files below /sys/fs/cgroup."""

    def found(own, **files):
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "mounted" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return quota(tmp_path / "own", tmp_path / "mounted")

    return found


@pytest.mark.parametrize(
    ("own", "files", "share"),
    [
        (UNIFIED, {}, None),
        (UNIFIED, {"system.slice/job.scope/cpu.max": "max 100000\n"}, None),
        (UNIFIED, {"system.slice/job.scope/cpu.max": "150000 100000\n"}, 1.5),
        (UNIFIED, {"system.slice/job.scope/cpu.max": "max 100000\n", "system.slice/cpu.max": "50000 100000\n"}, 0.5),
        (UNIFIED, {"system.slice/job.scope/cpu.max": "300000 100000\n", "cpu.max": "200000 100000\n"}, 2.0),
        (UNIFIED, {"cpu.max": "broken\n"}, None),
        (LEGACY, {"cpu/docker/ab/cpu.cfs_quota_us": "-1\n", "cpu/docker/ab/cpu.cfs_period_us": "100000\n"}, None),
        (LEGACY, {"cpu/docker/ab/cpu.cfs_quota_us": "250000\n", "cpu/docker/ab/cpu.cfs_period_us": "100000\n"}, 2.5),
        # a container that sees its own group as the root of what is mounted
        (HYBRID, {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        ("3:cpuset:/\n", {"cpu.max": "100000 100000\n"}, None),
        # the group of another controller is no limit of this process's time
        (
            "12:memory:/other\n4:cpu:/own\n",
            {"cpu/other/cpu.cfs_quota_us": "100000\n", "cpu/other/cpu.cfs_period_us": "100000\n"},
            None,
        ),
    ],
)
def test_the_smallest_quota_around_the_process_counts(limits, own, files, share):
    assert limits(own, **files) == share


def test_without_control_groups_there_is_no_quota(tmp_path):
    assert quota(tmp_path / "nothing", tmp_path) is None


def test_affinity_is_what_the_process_was_given(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    assert affinity() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert affinity() == 8


@pytest.mark.parametrize(
    ("given", "share", "found"), [(8, None, 8), (8, 2.0, 2), (8, 1.5, 2), (8, 0.1, 1), (1, 4.0, 1)]
)
def test_processors_are_the_smaller_of_both(monkeypatch, given, share, found):
    monkeypatch.setattr(machine, "affinity", lambda: given)
    monkeypatch.setattr(machine, "quota", lambda: share)
    assert cores.__wrapped__() == found
