"""What a run that was written holds, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from ltr.io.runs import Run


@dataclass
class Written:
    """Sizes of a run, of which parts are counted as they are written.

    Attributes:
        queries, documents: how many.
        empty: queries of which nothing was found.
    """

    queries: int = 0
    documents: int = 0
    empty: int = 0

    def add(self, run: Run) -> None:
        """Count a part."""
        self.queries += len(run)
        self.documents += len(run.scores)
        self.empty += int((run.offsets[1:] == run.offsets[:-1]).sum())
