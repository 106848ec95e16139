"""Processors that share the units of a core count once."""

from ltr.machine import cores


def test_processors_of_one_core_are_siblings(tmp_path):
    for cpu, own in enumerate(("0,2", "1", "0,2")):
        (tmp_path / f"cpu{cpu}" / "topology").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}" / "topology" / "thread_siblings_list").write_text(own + "\n")
    names = [cores._siblings(cpu, tmp_path) for cpu in range(4)]
    assert names == ["0,2", "1", "0,2", "3"]  # nobody knows the fourth


def test_they_are_no_more_than_the_processors_that_may_be_used(monkeypatch):
    monkeypatch.setattr(cores, "_siblings", lambda cpu: "one core")
    cores.physical_cores.cache_clear()
    try:
        assert cores.physical_cores() == 1
    finally:
        cores.physical_cores.cache_clear()
