"""A page is one file that needs nothing else, says what is missing, and survives whatever it is given."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from ltr import __version__
from ltr.report.page.html import asset, render
from ltr.report.page.page import Curves, Forest, LinkPicture, Page, Queries, Section, TradeOff
from ltr.report.tables.table import Table
from tests.report.fake import EVIL, page

#: elements that have no end
VOID = {"meta", "link", "img", "br", "wbr", "input", "hr"}


class Outline(HTMLParser):
    """What a page consists of; fails where an element is closed that is not open."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def values(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]


@pytest.fixture(scope="module")
def html() -> str:
    return render(page())


def test_it_needs_no_network(html):
    outline = Outline(html)
    resources = [attributes for tag, attributes in outline.elements if tag != "a"]
    assert not [a for a in resources if any("//" in a.get(name, "") for name in ("src", "href", "data", "action"))]
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", html)
    assert {tag for tag, _ in outline.elements}.isdisjoint({"link", "img", "iframe", "object", "base", "form"})
    assert [h for h in outline.values("href") if h.startswith("http")] == ["https://arxiv.org/abs/2506.04446"]
    policy = next(a["content"] for tag, a in outline.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")


def test_ids_are_unique_and_the_contents_lead_somewhere(html):
    outline = Outline(html)
    ids = outline.values("id")
    assert len(ids) == len(set(ids))
    anchors = [h[1:] for h in outline.values("href") if h.startswith("#")]
    assert set(anchors) <= set(ids)
    assert {
        "s1",
        "s1-results",
        "s1-differences",
        "s1-tradeoff",
        "s1-curves",
        "s1-queries",
        "links",
        "configuration",
    } <= set(anchors)
    assert not {"s1-queries", "main"} - set(ids)


def test_pictures_tables_and_regions_are_named(html):
    outline = Outline(html)
    pictures = [a for tag, a in outline.elements if tag == "svg"]
    assert all(a.get("aria-label") or a.get("aria-hidden") for a in pictures)
    assert len([a for a in pictures if a.get("role") == "img"]) == 3 + 1 + 1 + 3
    assert all(a.get("aria-label") for _, a in outline.elements if a.get("role") == "region")
    assert all(a.get("scope") for tag, a in outline.elements if tag == "th")


def test_everything_is_on_it(html):
    assert "<h1>Which loss for short questions?</h1>" in html
    assert "data 9f2c1a77 · torch 2.13.0 · ties by document id" in html
    assert "What <b>won</b> and <code>what &lt; it</code> cost." in html
    assert "- ListNet()  # &lt;b&gt;" in html
    assert "not finished. Still missing:</h2><ul><li>stackfaq: BCE(), seed 4</li>" in html
    assert "1 part failed and stands in no table" in html
    assert "loss became &lt;NaN&gt;" in html
    assert f"Made by ltr {__version__}" in html


def test_texts_cannot_break_out(html):
    assert "<img src=x" not in html
    assert re.findall(r"<script[^>]*>", html) == ['<script type="application/json">', "<script>"]
    told = json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)[1])
    assert EVIL.split()[0] in " ".join(told["texts"])
    assert (
        render(
            Page(
                EVIL,
                EVIL,
                EVIL,
                [Section(EVIL, EVIL, [EVIL])],
                configuration=EVIL,
                missing=[EVIL],
                failures=[(EVIL, EVIL)],
            )
        ).count("<script")
        == 1
    )


def test_size_of_a_whole_report(html):
    assert len(html.encode()) < 2_000_000


def test_nothing_finished_is_a_page_too():
    html = render(Page("Benchmark", missing=["everything"]))
    Outline(html)
    assert "Nothing is finished yet." in html
    assert "<li>everything</li>" in html
    assert "<nav" not in html


@pytest.mark.parametrize(
    "section",
    [
        Section("empty"),
        Section(
            "empty", forests=[Forest("m", "b")], tradeoffs=[TradeOff("x", "y", baseline="b")], curves=[Curves("m")]
        ),
        Section(
            "empty", tables=[Table(["run"], [])], curves=[Curves("m", {"a": [], "b": [[]]})], queries=Queries([], {})
        ),
        Section("one system", queries=Queries(["q"], {"m": {"a": [1.0]}})),
    ],
)
def test_what_is_empty_is_said_and_the_rest_rendered(section):
    html = render(Page("Benchmark", sections=[section, Section("full", notes=["done"])]))
    Outline(html)
    assert "Nothing to show yet." in html or "needs two finished systems" in html
    assert "<p>done</p>" in html
    assert 'class="explorer"' not in html


def test_a_link_without_a_range_is_drawn_where_it_bends():
    from ltr.links import Sigmoid

    html = render(Page("Links", links=[LinkPicture("same", "same", [Sigmoid(center=50.0)])]))
    assert ">50<" in html
    assert '<figcaption><span class="name">same</span>' in html


def test_an_untested_forest_says_so():
    from ltr.report.page.page import ForestRow

    html = render(Page("Runs", sections=[Section("s", forests=[Forest("m", "b", [ForestRow("a", 0.1, 0.0, 0.2)])])]))
    assert "No tests were done." in html


def test_style_and_script_hold_nothing_that_ends_them():
    for name in ("page.css", "page.js"):
        assert "</" not in asset(name)
