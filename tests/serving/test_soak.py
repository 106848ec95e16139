"""A server process that answers texts of all lengths for an hour: its memory does not grow."""

from __future__ import annotations

import os
import random
import statistics
import time
from pathlib import Path

import numpy as np
import pytest

from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings import ModelSettings
from tests.serving.live import Live
from tests.serving.wires import WIRES
from tests.tiny_model import WORDS, save_tiny


def resident(process: int) -> int:
    """Bytes of memory that a process holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def text(draw: random.Random, most: int) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randrange(1, most)))


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
def test_memory_does_not_grow(tmp_path):
    """``LTR_SOAK`` seconds (3600) of ``LTR_SOAK_RATE`` requests a second (5), in all dialects."""
    seconds, rate = float(os.environ.get("LTR_SOAK", "3600")), float(os.environ.get("LTR_SOAK_RATE", "5"))
    save_tiny(tmp_path / "backbone", max_position_embeddings=512)
    CrossEncoder(str(tmp_path / "backbone")).save(tmp_path / "best", ModelSettings(512, 64))
    draw, seen = random.Random(3), []
    with Live(tmp_path / "best", tmp_path, "--log", "off", "--slice-tokens", "3072") as live:
        live.wait()
        begin = due = time.monotonic()
        while time.monotonic() < begin + seconds:
            wire = draw.choice(WIRES)
            docs = [text(draw, draw.choice([10, 100, 600])) for _ in range(draw.randrange(1, 40))]
            assert live.ask("POST", wire.path, wire.fields(text(draw, 90), docs), timeout=600)[0] == 200
            seen.append(resident(live.process.pid))
            due = max(due + 1 / rate, time.monotonic() - 1)  # what was held up is not made good
            time.sleep(max(0.0, due - time.monotonic()))
        parts = [statistics.median(part) for part in np.array_split(seen, 12)]
        print(f"{len(seen)} requests, MB:", *(f"{part / 2**20:.0f}" for part in parts))
        assert parts[-1] < 1.05 * parts[2], parts  # what is made once is made in the first sixth
