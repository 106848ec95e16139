"""``ltr export --onnx``: the graph scores as the model does, for any number of rows and tokens, or is not written."""

import contextlib
import hashlib
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from ltr.cli.main import main
from ltr.data.tokens.reader import Texts
from ltr.errors import ConfigError, MissingExtra
from ltr.inference.exports import to_onnx
from ltr.inference.exports.integers import opened
from ltr.inference.exports.to_onnx import GRAPH, Parity, compare, export_onnx, graph_scores
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings.texts import ModelSettings
from tests.cli.test_export import home  # noqa: F401
from tests.guides import GUIDES, blocks
from tests.tiny_model import save_tiny

needed = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="onnx, onnxscript and onnxruntime are not installed: pip install 'ltr[onnx]'",
)


def arguments(home, out, *more):  # noqa: F811
    given = ["--model", str(home / "best"), "--dataset", str(home / "data"), "--run", "first", "--output", str(out)]
    return ["export", "--onnx", *given, *more]


@pytest.fixture(scope="module")
def exported(home, tmp_path_factory):  # noqa: F811
    """An export, and what was printed: torch's exporter takes some seconds."""
    out, said = tmp_path_factory.mktemp("onnx") / "engine", io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(arguments(home, out)) == 0
    return out, said.getvalue()


@pytest.fixture
def quickly(exported, monkeypatch):
    """Exports that take the graph that was made before."""
    monkeypatch.setattr(to_onnx, "write_graph", lambda *args: shutil.copy(exported[0] / GRAPH, args[-1]))


@needed
def test_the_figures_are_printed_and_stand_in_the_card(exported):
    out, said = exported
    assert "checked on 10 queries, 150 documents" in said
    assert "Kendall's tau, mean over queries   1.0000" in said
    assert "read alike by tokenizer.json       150 of 150 pairs" in said
    card = (out / "README.md").read_text()
    assert "library_name: transformers.js" in card
    assert said.split("\n")[1] in card
    assert {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} - {"special_tokens_map.json"} == {  # of transformers 4
        GRAPH, "README.md", "config.json", "ltr.json", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert (
        '"PreTrainedTokenizerFast"' in (out / "tokenizer_config.json").read_text()
    )  # TokenizersBackend is of version 5


@needed
def test_the_graph_is_what_engines_take(exported):
    import onnx

    graph = onnx.load(exported[0] / GRAPH)
    assert graph.ir_version == 8
    assert [(one.domain, one.version) for one in graph.opset_import] == [("", 18)]
    inputs = {one.name: [d.dim_param for d in one.type.tensor_type.shape.dim] for one in graph.graph.input}
    assert inputs == {name: ["batch", "tokens"] for name in ("input_ids", "attention_mask", "token_type_ids")}
    assert [one.name for one in graph.graph.output] == ["logits"]


@needed
@pytest.mark.parametrize(("rows", "words"), [(1, 1), (3, 7), (70, 30)])
def test_any_number_of_rows_and_tokens_scores_as_the_model(rows, words, exported, home):  # noqa: F811
    from onnxruntime import InferenceSession

    exact = opened(str(home / "best"))
    draw = np.random.default_rng(rows)
    docs = [" ".join(draw.choice(["join", "two", "paths", "zebra"], draw.integers(1, words + 1))) for _ in range(rows)]
    batch = exact.reader.batch([Texts("q", "how to join", list(map(str, range(rows))), docs)])
    found = graph_scores(InferenceSession(str(exported[0] / GRAPH)), batch, exact.tokenizer.pad_token_id)
    wanted = exact.score([("how to join", doc) for doc in docs])
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@needed
def test_beyond_the_tolerance_nothing_is_written(home, quickly, tmp_path, capsys):  # noqa: F811
    assert main(arguments(home, tmp_path / "engine", "--max-difference", "1e-12", "--queries", "2")) == 1
    shown = capsys.readouterr()
    assert "checked on 2 queries" in shown.out
    assert "export refused, nothing was written: a score differs by " in shown.err
    assert not (tmp_path / "engine").exists()


@needed
def test_a_graph_of_another_model_is_refused(home, quickly, tmp_path, capsys):  # noqa: F811
    torch.manual_seed(9)
    CrossEncoder(str(save_tiny(tmp_path / "other", hidden_act="relu", head=True))).save(
        tmp_path / "best", ModelSettings(60, 20)
    )
    given = arguments(home, tmp_path / "engine", "--queries", "2")
    given[given.index("--model") + 1] = str(tmp_path / "best")
    assert main(given) == 1
    assert "wanted at most 0.001" in capsys.readouterr().err


@needed
def test_a_tokenizer_that_reads_otherwise_is_noticed(exported, home, tmp_path):  # noqa: F811
    place = shutil.copytree(exported[0], tmp_path / "engine")
    text = (place / "tokenizer.json").read_text()
    (place / "tokenizer.json").write_text(text.replace('"lowercase": true', '"lowercase": false'))
    exact = opened(str(home / "best"))
    texts = [
        Texts("q1", "How to join", ["d1", "d2"], ["Join two paths", "join two paths"]),
        Texts("q2", "how to join " * 10, ["d1", "d2"], ["join", "two paths"]),
        Texts("q3", "how to join " * 30, ["d1"], ["join"]),  # longer than query and document may be together
    ]
    found = compare(exact, texts, place)
    assert (found.pairs, found.read_alike, found.cut) == (5, 0, 3)
    assert found.misses(1e-3) == ["tokenizer.json reads 2 of 5 pairs as other tokens than the model was trained on"]


def test_misses_are_told_with_their_figures():
    good = Parity(queries=2, pairs=10, largest=1e-6, spread=1.0, tau=1.0, read_alike=8, cut=2)
    assert good.misses(1e-3) == []
    bad = Parity(queries=2, pairs=10, largest=float("nan"), spread=1.0, tau=0.1, read_alike=10, cut=0)
    assert bad.misses(1e-3) == ["a score differs by nan, wanted at most 0.001"]


@needed
def test_an_edited_card_stays_when_an_export_is_made_anew(home, quickly, exported, tmp_path):  # noqa: F811
    place = shutil.copytree(exported[0], tmp_path / "engine")
    (place / "README.md").write_text("# mine\n")
    assert main(arguments(home, place, "--queries", "2")) == 0
    assert (place / "README.md").read_text() == "# mine\n"


@needed
def test_the_models_own_card_stands_below(home, quickly, tmp_path):  # noqa: F811
    shutil.copytree(home / "best", tmp_path / "best")
    (tmp_path / "best" / "README.md").write_text(
        "---\nlicense: mit\nbase_model: org/tiny\n---\n\n# demo\n\nMine.\n\n![x](link.png)\n\n*The link.*\n\n## Use\n\ncode\n\n## Versions\n\none\n"
    )
    given = arguments(home, tmp_path / "engine", "--queries", "2")
    given[given.index("--model") + 1] = str(tmp_path / "best")
    assert main(given) == 0
    text = (tmp_path / "engine" / "README.md").read_text()
    assert text.startswith("---\nlicense: mit\nbase_model: org/tiny\nlibrary_name: transformers.js\n")
    assert "# The model that it was made from\n\nMine.\n\n## Versions\n\none\n" in text


@needed
def test_only_cross_encoders_are_taken(tmp_path):
    exact = SimpleNamespace(source="org/other", scorer=object())
    with pytest.raises(
        ConfigError, match="--onnx takes cross-encoders, and org/other is read by object; serve it with ltr serve"
    ):
        export_onnx(exact, [], tmp_path / "engine", 1e-3, lambda parity: b"")


def test_missing_packages_are_told_before_the_model_is_opened(home, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra):
        to_onnx.check_extra()
    assert main(arguments(home, tmp_path / "engine")) == 1
    assert "pip install 'ltr[onnx]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "onnx", "said"),
    [
        (["--min-tau", "0.9"], True, "--min-tau goes only without --onnx"),
        (["--calibration", "3"], True, "--calibration goes only without --onnx"),
        (["--max-difference", "0.1"], False, "--max-difference goes only with --onnx"),
    ],
)
def test_options_of_the_other_kind_are_refused(option, onnx, said, home, tmp_path, capsys):  # noqa: F811
    given = arguments(home, tmp_path / "engine", *option)
    assert main(given if onnx else [word for word in given if word != "--onnx"]) == 1
    assert said in capsys.readouterr().err


@needed
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["modernbert", "distilbert", "electra"])
def test_other_architectures(kind, home, tmp_path):  # noqa: F811
    torch.manual_seed(3)
    CrossEncoder(str(save_tiny(tmp_path / kind, kind, head=True))).save(tmp_path / "best", ModelSettings(60, 20))
    given = arguments(home, tmp_path / "engine", "--queries", "3")
    given[given.index("--model") + 1] = str(tmp_path / "best")
    assert main(given) == 0


# ------------------------------------------------------------------ the guide's files for engines


@pytest.fixture(scope="module")
def files():
    """The files that the guide shows, by their names."""
    return {block.title: block.text for block in blocks(GUIDES / "engines.md") if block.title}


@pytest.fixture
def reader(files, exported, tmp_path, monkeypatch):
    """A folder like that of a reader of the guide."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "onnx").symlink_to(exported[0])
    return files


@needed
def test_the_guides_lines_for_onnx_runtime_score_as_the_model(reader, home):  # noqa: F811
    names: dict[str, object] = {}
    exec(compile(reader["with_onnxruntime.py"], "with_onnxruntime.py", "exec"), names)
    pairs = [("join two paths", doc) for doc in ("sort a list", "how to join two paths")]
    np.testing.assert_allclose(names["scores"], opened(str(home / "best")).score(pairs), atol=1e-5)


@needed
def test_the_guides_lines_for_opensearch_make_a_model_that_fits_its_digest(reader, tmp_path):
    exec(compile(reader["for_opensearch.py"], "for_opensearch.py", "exec"), {})
    body = json.loads((tmp_path / "register.json").read_text())
    assert body["model_content_hash_value"] == hashlib.sha256((tmp_path / "ranker.zip").read_bytes()).hexdigest()
    assert json.loads(body["model_config"]["all_config"])["model_type"] == body["model_config"]["model_type"] == "bert"
    with zipfile.ZipFile(tmp_path / "ranker.zip") as file:
        assert file.namelist() == ["model.onnx", "tokenizer.json"]
        assert file.read("model.onnx") == (tmp_path / "runs" / "demo" / "onnx" / GRAPH).read_bytes()


def test_the_guides_services_for_vespa_name_the_tokenizer_that_its_schema_calls(files):
    component = ElementTree.fromstring(files["services.xml"]).find("container/component")
    assert component.get("type") == "hugging-face-tokenizer"
    assert component.find("model").get("path") == "models/tokenizer.json"
    assert f"| embed {component.get('id')} |" in files["schemas/doc.sd"]
    assert json.loads(files["vespa-query.json"])["input.query(q_tokens)"].startswith(f"embed({component.get('id')},")


def test_the_guides_schema_for_vespa_gives_the_graph_what_it_takes(files):
    schema = files["schemas/doc.sd"]
    assert schema.count("{") == schema.count("}")
    inputs = dict(re.findall(r"input (\w+): (\w+)", schema))
    assert tuple(inputs) == to_onnx.INPUTS
    assert set(inputs.values()) == set(re.findall(r"function (\w+)\(\)", schema))
    lengths = set(re.findall(r"token\w+\((\d+), query\(q_tokens\), attribute\(tokens\)\)", schema))
    assert lengths == {re.search(r"tokens type tensor<float>\(d0\[(\d+)\]\)", schema)[1]}
    assert "onnx(ranker){d0:0,d1:0}" in schema
    assert json.loads(files["vespa-query.json"])["ranking"] == re.search(r"rank-profile (\w+)", schema)[1]


def test_the_guides_bodies_are_json_and_fit_each_other(files):
    bodies = {name: json.loads(text) for name, text in files.items() if name.endswith(".json")}
    assert "ml_opensearch" in bodies["opensearch-pipeline.json"]["response_processors"][0]["rerank"]
    page = (GUIDES / "engines.md").read_text()
    assert f"--es-model-id {bodies['elasticsearch-endpoint.json']['service_settings']['model_id']} " in page
    search = bodies["elasticsearch-search.json"]["retriever"]["text_similarity_reranker"]
    assert f"PUT /_inference/rerank/{search['inference_id']}" in page


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed, which parses JavaScript")
def test_the_guides_lines_for_transformers_js_are_javascript(files, tmp_path):
    (tmp_path / "rerank.mjs").write_text(files["rerank.mjs"])
    subprocess.run(["node", "--check", tmp_path / "rerank.mjs"], check=True)
    assert 'dtype: "fp32"' in files["rerank.mjs"]  # which is what that library calls onnx/model.onnx
