"""How all pictures look, and how they become files: colours, fonts, lines; the only file that sets up matplotlib."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltr.errors import ConfigError, MissingExtra
from ltr.io.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
DPI = 110

#: Okabe and Ito's colours, which colour-blind readers can tell apart, each with a dash of its own for grey print
STYLES: list[tuple[str, Any]] = [
    ("#0072B2", "-"),
    ("#D55E00", (0, (6, 1.5))),
    ("#009E73", (0, (3, 1.2, 1, 1.2))),
    ("#CC79A7", (0, (1.5, 1))),
    ("#E69F00", (0, (8, 1.5, 1, 1.5, 1, 1.5))),
    ("#56B4E9", "-"),
    ("#000000", (0, (4, 2))),
]

#: text and axes, what stands back, and grid lines; a page replaces them (and STYLES) by colours of its theme
INK, MUTED, GRID = "#1f2328", "#8c959f", "#e6e6e6"

SETTINGS: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "svg.hashsalt": "ltr",
    # a dollar in a name is a dollar
    "text.parse_math": False,
}


@contextmanager
def drawing() -> Iterator[None]:
    """matplotlib with this file's settings; MissingExtra where it is not installed."""
    try:
        import matplotlib
    except ImportError:
        raise MissingExtra("matplotlib", "plot", "to draw") from None
    with matplotlib.rc_context(SETTINGS):
        yield


def save(figure: Figure, path: str | os.PathLike) -> Path:
    """Write a figure to a .png, .svg or .pdf file, whole or not at all."""
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"plot: the output must end in {', '.join(FORMATS)}, got {str(path)!r}")
    written = _written(figure, path.suffix.lower()[1:])
    with replacing(path, "wb") as file:
        file.write(written)
    return path


def vector(figure: Figure) -> str:
    """A figure as the text of an SVG file: its words are text in the reader's fonts, its ground is transparent."""
    return _written(figure, "svg", {"svg.fonttype": "none"}, transparent=True).decode()


def sheet(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches; only inside ``drawing()``."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _written(figure: Figure, kind: str, settings: Any = None, **options: Any) -> bytes:
    from matplotlib import rc_context

    memory = io.BytesIO()
    # the same picture must give the same file
    undated: dict[str, Any] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with drawing(), rc_context(settings):
        figure.savefig(memory, format=kind, dpi=DPI, metadata=undated, **options)
    return memory.getvalue()
