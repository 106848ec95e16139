"""The description at /openapi.json holds: schemathesis sends what it allows and what it forbids, and reads the answers by it."""

from __future__ import annotations

import subprocess

import pytest

from tests.environments import interpreter
from tests.serving.live import Live


@pytest.mark.slow
def test_answers_are_what_the_description_says(folder, tmp_path):
    """No status of the server's own, only statuses, headers and bodies that are described, and nothing taken that is forbidden.

    What is allowed may still be refused: no schema says that ``first_scores`` has a number for each document.
    """
    python = interpreter("schemathesis")
    with Live(folder, tmp_path, "--log", "off") as live:
        live.wait()
        command = [python.parent / "schemathesis", "run", f"{live.url}/openapi.json", "--phases", "coverage,fuzzing"]
        options = ["--exclude-checks", "positive_data_acceptance", "--max-examples", "40", "--seed", "1"]
        done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=1800)
        assert done.returncode == 0, done.stdout[-20_000:]
        assert "Tested: 19" in done.stdout
        assert "Traceback" not in live.said.read_text()
