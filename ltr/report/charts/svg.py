"""A figure as part of a page: ids of its own, the theme's colours, the page's font."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from ltr.report.charts.style import GRID, INK, MUTED, STYLES, vector

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: a colour of a picture -> the variable of the page's style sheet that replaces it
COLORS = {INK: "--ink", MUTED: "--muted", GRID: "--grid"}
COLORS |= {color: f"--c{number}" for number, (color, _) in enumerate(STYLES, 1)}


def inline(figure: Figure, prefix: str, label: str) -> str:
    """The figure as an ``<svg>`` element.

    Args:
        figure: from ``draw_…``.
        prefix: begins every id in it, so that two pictures on a page never share one.
        label: what it shows, for readers who do not see it.
    """
    text = vector(figure)
    start = text.index("<svg")
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text[start:], flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    used = set(re.findall(r"(?:href=\"#|url\(#)([^\")]+)", text))
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r"xlink:href=\"#", f'href="#{prefix}-', text)
    text = text.replace("url(#", f"url(#{prefix}-")
    for color, variable in COLORS.items():
        text = re.sub(rf"(?<=: ){color}\b", f"var({variable})", text, flags=re.IGNORECASE)
    text = re.sub(r">\s+<", "><", text)
    text = re.sub(r" (?:xmlns:xlink|xmlns|version)=\"[^\"]*\"", "", text)
    size = re.search(r'width="([\d.]+)pt" height="[\d.]+pt"', text)
    assert size, "matplotlib writes the size of its SVG files in points"
    attributes = f'role="img" aria-label="{escape(label)}" style="--width: {float(size[1]) / 72:.2f}"'
    return text.replace(size[0], attributes, 1).strip()
