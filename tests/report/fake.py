"""A whole report with made-up numbers: long names, seeds, queries with texts, and texts that try to break out."""

from __future__ import annotations

import numpy as np

from ltr.links import Exp, Identity, Sigmoid, Softplus
from ltr.report.page.page import (
    Curves,
    Document,
    Forest,
    ForestRow,
    LinkPicture,
    Page,
    Queries,
    Section,
    TradeOff,
    TradePoint,
)
from ltr.report.page.queries import notable
from ltr.report.tables.table import Cell, Table

SYSTEMS = [
    "ListNet()",
    "CompositeSoftmax(Identity() + Softplus(center=1.0), targets=Positives())",
    "CompositeSoftmax(Exp(center=0.5, width=2.0), targets=Positives())",
    "CompositeContrast(Sigmoid(center=2.0) + 0.1 * Identity())",
    "LambdaRank()",
    "RankNet()",
    "BCE()",
    "Matching(Sigmoid(center=2.0) + 0.1 * Identity(), targets=Grades([-2.0, 2.0]))",
]
MEASURES = ["ndcg@10", "mrr@10", "rmse_top.2"]
EVIL = "</script><script>document.title = 'broken'</script><img src=x onerror=alert(1)> & \"quoted\" 'too' <!--"
WORDS = [
    "join",
    "two",
    "paths",
    "sort",
    "a",
    "list",
    "in",
    "ascending",
    "order",
    "read",
    "lines",
    "lazily",
    "parse",
    "dates",
    "with",
    "time",
    "zones",
]


def values(n: int, systems: list[str] = SYSTEMS, measures: list[str] = MEASURES, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    base = rng.beta(1.2, 1.0, n)
    found: dict = {}
    for measure in measures:
        drawn = [np.clip(base + rng.normal(0.02 * i - 0.03, 0.2, n), 0, 1) for i in range(len(systems))]
        if measure.startswith("mrr"):
            drawn = [np.where(v < 0.1, 0.0, 1 / np.round(1 / np.maximum(v, 0.1))) for v in drawn]
        if measure.startswith("rmse"):
            drawn = [1.5 * (1.4 - v) for v in drawn]
        found[measure] = dict(zip(systems, drawn, strict=True))
    return found


def queries(n: int = 300, systems: list[str] = SYSTEMS, measures: list[str] = MEASURES) -> Queries:
    rng = np.random.default_rng(1)
    ids = [f"q{i}" for i in range(n)]
    texts = {q: " ".join(rng.choice(WORDS, 8)) for q in ids}
    smaller = [m for m in measures if m.startswith("rmse")]
    bare = Queries(ids, values(n, systems, measures), texts, baseline=systems[0], smaller_is_better=smaller)
    kept = notable(bare)
    texts[kept[0]] = EVIL
    ranked = {}
    for q in kept:
        pool = [
            Document(f"{q}/{j}", 0.0, int(rng.integers(3)), f"{EVIL} {q}: " + " ".join(rng.choice(WORDS, 60)))
            for j in range(9)
        ]
        ranked[q] = {
            system: [
                Document(pool[j].doc_id, 5.0 - k, pool[j].label, pool[j].text)
                for k, j in enumerate(rng.permutation(9)[:5])
            ]
            for system in systems
        }
    return Queries(ids, bare.values, texts, ranked, systems[0], smaller)


def forests(found: Queries) -> list[Forest]:
    made = []
    for measure, systems in found.values.items():
        rows = []
        for system in found.systems[1:]:
            d = np.asarray(systems[system]) - np.asarray(systems[found.systems[0]])
            half = 1.96 * d.std() / len(d) ** 0.5
            rows.append(
                ForestRow(
                    system,
                    d.mean(),
                    d.mean() - half,
                    d.mean() + half,
                    min(1.0, float(np.exp(-((d.mean() / half) ** 2) * 2))),
                )
            )
        made.append(Forest(measure, found.systems[0], rows, measure in found.smaller_is_better))
    return made


def tradeoff() -> TradeOff:
    widths = [0.5, 0.7, 1.0, 1.5, 3.0]
    line = [TradePoint(f"Matching(Exp(width={w}))", 0.8 + 0.4 / w, 1.6 - 0.6 / w**0.5, label=f"{w:g}") for w in widths]
    rng = np.random.default_rng(2)
    others = [
        TradePoint(s, x, y, (x - 0.03, x + 0.03), (y - 0.05, y + 0.05))
        for s, (x, y) in zip(SYSTEMS[:5], rng.uniform(1.0, 1.6, (5, 2)), strict=True)
    ]
    lines = {"Matching(Exp(width=…)), widths 0.5 to 3": [p.system for p in line]}
    return TradeOff(
        "rmse_rest.2", "rmse_top.2", [*line, *others], True, True, SYSTEMS[0], lines, "standard deviation over 5 seeds"
    )


def curves() -> Curves:
    rng = np.random.default_rng(3)
    steps = np.arange(1, 11)
    systems = {
        s: [
            [(int(100 * e), float(0.3 + 0.3 * (1 - np.exp(-e / 3)) + 0.01 * i + rng.normal(0, 0.015))) for e in steps]
            for _ in range(5)
        ]
        for i, s in enumerate(SYSTEMS)
    }
    return Curves("dev ndcg@10", systems)


def page() -> Page:
    found = queries()
    means = []
    for i, s in enumerate(SYSTEMS):
        cells = [Cell(float(np.mean(v[s])), 0.1, 0.9, "†", i == 0) for v in found.values.values()]
        means.append([s, *cells, None if s == "BCE()" else 61.5 + i])
    table = Table(["loss", *MEASURES, "seconds"], means, "Means over 5 seeds", "300 queries", ["† p < 0.05"])
    section = Section(
        "stackfaq/dev",
        "300 queries",
        ["What **won** and `what < it` cost."],
        [table],
        forests(found),
        [tradeoff()],
        [curves()],
        found,
    )
    links = [
        LinkPicture("softplus", SYSTEMS[1], [Identity() + Softplus(center=1.0)]),
        LinkPicture("exp", SYSTEMS[2], [Exp(center=0.5, width=2.0)]),
        LinkPicture("sigmoid", SYSTEMS[7], [Sigmoid(center=2.0) + 0.1 * Identity()]),
    ]
    return Page(
        "Which loss for short questions?",
        "Eight losses under one budget.\n\nSelective losses pay elsewhere.",
        "data 9f2c1a77 · torch 2.13.0 · ties by document id",
        [section],
        links,
        "data: stackfaq\nlosses:\n- ListNet()  # <b>",
        ["stackfaq: BCE(), seed 4"],
        [("stackfaq/BCE()/seed 3", "loss became <NaN>")],
    )
