"""Pictures inside a page share no ids, take its colours and fonts, and ask for nothing from outside."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from ltr.links import Exp, Sigmoid
from ltr.report.charts.charts import draw_forest
from ltr.report.charts.links_and_losses import draw_links
from ltr.report.charts.style import STYLES
from ltr.report.charts.svg import inline
from ltr.report.page.page import Forest, ForestRow

FOREST = Forest("ndcg@10", "first", [ForestRow("a <b> & $c$", 0.1, 0.05, 0.2, 0.01)])


def picture(prefix: str = "p", label: str = "what it shows") -> str:
    return inline(draw_forest(FOREST), prefix, label)


def test_it_is_one_well_formed_element():
    root = ElementTree.fromstring(picture(label='quoted "label" <b>'))
    assert root.tag == "svg"
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'quoted "label" <b>'
    assert root.get("viewBox")
    assert root.get("width") is None


def test_words_are_text_in_the_fonts_of_the_page():
    svg = picture()
    assert "a &lt;b&gt; &amp; $c$" in svg
    assert "font-family" not in svg
    assert "<style" not in svg


def test_two_pictures_share_no_ids():
    first, second = (
        set(re.findall(r'id="([^"]+)"', inline(draw_links([Exp(), Sigmoid()]), p, ""))) for p in ("a", "b")
    )
    assert first
    assert not first & second


def test_every_reference_is_inside():
    svg = inline(draw_links([Exp(), Sigmoid()]), "p", "")
    ids = set(re.findall(r'id="([^"]+)"', svg))
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg))
    assert used
    assert {a or b for a, b in used} == ids
    assert "http" not in svg


def test_colours_are_those_of_the_theme():
    svg = picture()
    assert "var(--ink)" in svg
    assert "var(--grid)" in svg
    assert "var(--c1)" in svg
    assert not any(color.lower() in svg.lower() for color, _ in STYLES)


def test_the_same_picture_gives_the_same_text():
    assert picture() == picture()
