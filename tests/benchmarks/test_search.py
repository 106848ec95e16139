"""The script that measures exact search: its ways find the same documents."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("option", [[], ["--sparse"]], ids=["vectors", "words"])
def test_all_ways_find_the_same_documents(option, measured_here):
    import search

    result, printed = measured_here(search, "--quick", *option)
    assert result["quick"]
    assert len(result["rows"]) >= 2
    assert all(row["same documents"] > 0.999 and row["processor seconds"] >= 0 for row in result["rows"])
    assert "same documents" in printed
