"""pydocs: what becomes a document and a query, what is merged or left out, and splits without leaks."""

import re
import subprocess
import sys
from collections import Counter

import pytest

from ltr.data.collections import docstrings, pydocs
from ltr.data.collections.collection import load
from ltr.data.collections.docstrings import Documented, documented, merged
from ltr.data.collections.pydocs import Entry, entries_of, entry_of, group_of, plain, split_summary, splits_of
from ltr.errors import DataError

REST = "It looks at every item once and keeps the order of those that compare equal."


@pytest.fixture(scope="session")
def built():
    """pydocs of this Python: all of it, and its splits."""
    return {split: load("pydocs" + (f"/{split}" if split else "")) for split in ("", *pydocs.SPLITS)}


def test_thousands_of_documents_and_queries(built):
    assert built[""].n_docs > 4000
    assert len(built["train"].queries) >= 1600
    assert len(built["dev"].queries) >= 200
    assert len(built["test"].queries) >= 400


def test_each_query_has_its_own_document(built):
    c = built[""]
    assert c.qrels.keys() == c.queries.keys()
    for query_id, judged in c.qrels.items():
        assert judged == {query_id.removeprefix("q-"): 1}
    assert c.missing(d for judged in c.qrels.values() for d in judged) == []


def test_no_document_holds_its_summary(built):
    c = built[""]
    ids = [next(iter(judged)) for judged in c.qrels.values()]
    same = pydocs._same
    assert not [q for q, text in zip(c.queries.values(), c.texts(ids), strict=True) if same(q) in same(text)]


def test_documents_and_queries_are_distinct(built):
    c = built[""]
    assert max(Counter(pydocs._same(text) for text in c.queries.values()).values()) == 1
    assert all(len(re.findall(r"\w+", text)) > pydocs.MIN_DOC_WORDS for _, text in c.docs())


def test_splits_are_disjoint_by_module(built):
    groups = {s: {group_of(q.removeprefix("q-")) for q in built[s].queries} for s in pydocs.SPLITS}
    assert not groups["train"] & groups["dev"]
    assert not groups["train"] & groups["test"]
    assert not groups["dev"] & groups["test"]
    assert {q for s in pydocs.SPLITS for q in built[s].queries} == set(built[""].queries)
    assert len({built[s].docs_signature for s in built}) == 1


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("join two paths", "os.path.join"),
        ("sort a list in place", "builtins.list.sort"),
        ("shortest path in a graph", "networkx.shortest_path"),
    ],
)
def test_finds_the_function_one_looks_for(built, query, name):
    from ltr.data.candidates.sources import retrieve

    assert name in retrieve(built[""], {"q": query}, k=50)["q"][0]


def test_bm25_leaves_room_and_a_ceiling(built):
    from ltr.data.candidates.sources import retrieve

    c = built["test"]
    run = retrieve(c, k=50)
    found = [run[q][0].tolist() for q in c.queries]
    ranks = [
        docs.index(q.removeprefix("q-")) + 1 if q.removeprefix("q-") in docs else 0
        for q, docs in zip(c.queries, found, strict=True)
    ]
    recall = sum(r > 0 for r in ranks) / len(ranks)
    mrr = sum(1 / r for r in ranks if 0 < r <= 10) / len(ranks)
    assert 0.75 < recall < 0.92
    assert 0.38 < mrr < 0.55


def test_this_process_imports_none_of_it():
    code = (
        "import sys; from ltr.data.collections.collection import load; load('pydocs/test').queries;"
        "print([m for m in ('torch', 'networkx', 'pandas', 'transformers') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_same_versions_same_bytes(tmp_path):
    """Two readings of some modules under different hash seeds give the same records."""
    code = (
        "import json, warnings; warnings.simplefilter('ignore'); from ltr.data.collections.docstrings import *;"
        "print(json.dumps(merged(r for m in ('os', 'collections', 'json', 'numpy') for r in documented(m))))"
    )
    shown = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in "12"
    }
    assert len(shown) == 1


def test_failure_to_read_says_why(monkeypatch, tmp_path):
    monkeypatch.setenv("LTR_CACHE", str(tmp_path))
    monkeypatch.setattr(pydocs, "READER", "ltr.data.no_such_module")
    with pytest.raises(DataError, match=r"documentation of this Python could not be read:\n.*No module named"):
        pydocs.build()
    assert list((tmp_path / "pydocs").iterdir()) == []


def test_documented_walks_functions_classes_and_members():
    found = {r.name: r for r in documented("textwrap")}
    assert found["textwrap.dedent"].parameters == ["text"]
    assert "textwrap.TextWrapper.fill" in found
    assert not any("._" in name for name in found)
    assert list(documented("no_such_module_anywhere")) == []
    assert any(r.name == "math.gcd" for r in documented("math"))  # no __all__
    assert all(r.alias for r in documented("typing") if r.name.startswith("typing.Text."))  # defined as str


def test_members_taken_over_belong_to_a_class_within_a_package():
    polynomials = {r.name: r for r in documented("numpy.polynomial")}
    assert polynomials["numpy.polynomial.Chebyshev.fit"].alias  # of a private base class
    assert not polynomials["numpy.polynomial.Chebyshev.interpolate"].alias
    # a base class of the standard library, or a builtin one, is documented itself
    logs = {r.name for r in documented("logging")}
    assert "logging.Handler.acquire" in logs
    assert "logging.StreamHandler.acquire" not in logs
    assert "collections.Counter.keys" not in {r.name for r in documented("collections")}


def test_merging_prefers_the_name_of_definition():
    records = [
        Documented("m.sub.alias", None, "Same  text.", True),
        Documented("m.deep.inside.real", None, "same text."),
        Documented("m.z", None, "Other."),
    ]
    assert [r.name for r in merged(records)] == ["m.deep.inside.real", "m.z"]
    assert [r.name for r in merged([Documented("b.xy", None, "T."), Documented("a.xy", None, "T.")])] == ["a.xy"]


@pytest.mark.parametrize(
    ("doc", "summary", "rest"),
    [
        ("Do it.\nNow.", "Do it.", "Now."),
        ("Do it\nin two lines.\n\nRest.", "Do it in two lines.", "Rest."),
        ("Use X (i.e. this). Then that.", "Use X (i.e. this).", "Then that."),
        ("Kolmogorov A. N. distribution. More.", "Kolmogorov A. N. distribution.", "More."),
        ("Version 1.2 of it. More.", "Version 1.2 of it.", "More."),
        ("No end\n\nRest", "No end", "Rest"),
        ("", "", ""),
    ],
)
def test_summary_sentence(doc, summary, rest):
    assert split_summary(doc) == (summary, rest)


@pytest.mark.parametrize(
    ("doc", "kept"),
    [
        ("f(x, y=None) -> float\n\nAdd.", "Add."),
        ("f(x)\nAdd.", "Add."),
        ("m.f(x) -- Add.", "Add."),
        ("f(x)\nf(x, y)\n\nAdd (both) of them.", "Add (both) of them."),
        ("Add f(x) to it.", "Add f(x) to it."),
        ("f(x)", ""),
    ],
)
def test_call_signatures_are_no_documentation(doc, kept):
    assert pydocs._without_signature(doc, "m.f") == kept


def test_plain_text():
    doc = """Use :func:`~os.path.join` or ``x``.

    Notes
    -----
    .. versionadded:: 3.1
    .. note:: Be careful.

    >>> f(1)
    2
    after
    """
    assert re.sub(r"\s+", " ", plain(doc)) == "Use os.path.join or x. Notes note: Be careful."


def test_queries_shared_by_several_objects_are_none():
    e = entries_of(
        [
            Documented("m.a", None, f"Sort the items now. {REST}"),
            Documented("m.b", None, f"Sort the items  now. {REST} Or not."),
        ]
    )
    assert [(x.name, x.query) for x in e] == [("m.a", ""), ("m.b", "")]


def test_equal_documents_are_merged():
    e = entries_of(
        [
            Documented("m.a", None, f"Sort the items now. {REST}"),
            Documented("m.b", None, f"Sort ``the`` items now. {REST}"),
        ]
    )
    assert [(x.name, x.query) for x in e] == [("m.a", "Sort the items now")]


@pytest.mark.parametrize(
    "doc",
    [
        "Sort the items now.",
        "Sort the items now. Short rest.",
        f"See :func:`sort`. {REST}",
        f"Alias for sort of items. {REST}",
        f"Sort the items, deprecated. {REST}",
    ],
)
def test_documentation_without_content_is_no_document(doc):
    assert entry_of(Documented("m.a", None, doc)) is None


@pytest.mark.parametrize(
    "doc",
    [f"Sort. {REST}", f"Sort the items now. Sort the items now! {REST}", f"Sort {'very ' * 30}long lists. {REST}"],
)
def test_documents_without_a_query(doc):
    entry = entry_of(Documented("m.a", None, doc))
    assert entry is not None
    assert entry.query == ""


def test_title_shows_what_a_searcher_sees():
    assert entry_of(Documented("m.a", ["x", "key"], f"Sort the items now. {REST}")).title == "m.a(x, key)"
    assert entry_of(Documented("m.A.size", None, f"Number of items held. {REST}")).title == "m.A.size"


def test_namesakes_do_not_cross_splits():
    summary = "Sort the items of an array along the last axis"
    names = [f"numpy.ma.f{i}" for i in range(40)] + [f"numpy.f{i}" for i in range(40)] + [f"os.g{i}" for i in range(40)]
    entries = [Entry(n, n, REST, f"{summary} number {n}") for n in names]
    splits = splits_of(entries)
    home = {e.name: s for s, members in splits.items() for e in members}
    assert group_of("numpy.ma.f0") != group_of("numpy.f0")
    assert not [
        i
        for i in range(40)
        if home.get(f"numpy.ma.f{i}", "a") != home.get(f"numpy.f{i}", "a")
        and {f"numpy.ma.f{i}", f"numpy.f{i}"} <= home.keys()
    ]
    assert sum(n.startswith("os.") for n in home) == 40  # these have no namesakes
    assert list(splits) == ["train", "dev", "test"]


def test_modules_that_do_not_exist_here_are_passed_over():
    assert list(documented("msvcrt_of_another_platform")) == []
    assert docstrings.modules_of("numpy")[0] == "numpy"
    assert docstrings.modules_of("os") == []
