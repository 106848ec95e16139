"""``ltr demo``: the whole path, here with a tiny model on the documentation of a few modules."""

import yaml

from ltr.cli.main import main
from ltr.cli.training import demo
from ltr.data.collections import pydocs
from ltr.io.recipes import recipe


def test_the_demo_goes_from_the_collection_to_the_table(tiny_model, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LTR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pydocs, "READER", "tests.cli.training.few_docstrings")
    settings = yaml.safe_load(recipe("pydocs").read_text())
    assert settings["model"]["scorer"]["init_args"]["model"] == demo.BACKBONE
    settings["model"]["scorer"]["init_args"]["model"] = str(tiny_model)
    settings["data"]["init_args"] |= {
        "test": "pydocs/test[:50%]", "dev_queries": 10, "train_epoch_lists": 32, "lists_per_batch": 4,
        "max_length": 48,
    }  # fmt: skip
    settings["trainer"] |= {"precision": "32-true", "enable_progress_bar": False}
    small = tmp_path / "small.yaml"
    small.write_text(yaml.safe_dump(settings))
    monkeypatch.setattr(demo, "recipe", lambda name: small)
    folder = tmp_path / "run"
    monkeypatch.setattr(demo, "LENGTH", 48)
    assert main(["demo", "--folder", str(folder), "--retrieval"]) == 0
    said = capsys.readouterr().out
    assert (
        "] about a minute in all on this machine\n"
        in said[said.index("3/6  training") : said.index("4/6  every document")]
    )
    assert said.index("4/6  ") < said.index("5/6  reranking what both") < said.index("6/6  the test queries, measured")
    table = said[said.index("pydocs/test[:50%]") :]
    rows = [line.split("  ")[0] for line in table.splitlines()]
    for row in ("first stage", "untrained", "trained"):
        assert row in rows
    assert any(row.startswith("interpolated (") for row in rows)
    assert {"bi-encoder", "both, reranked"} <= set(rows)
    assert any(row.startswith("both (") for row in rows)
    assert "recall@50" in table
    assert "Student" in table
    assert f'ltr rerank --model {folder}/best --query "join two paths" --dataset pydocs --interpolate' in said
    assert "both, reranked: the trained reranker over the best of both" in said
    assert f"  ltr retrieve --model {tiny_model} --dataset pydocs/test --output dense.trec\n" in said
    assert (folder / "best" / "model.safetensors").exists()
    means = table.partition("Against")[0].splitlines()
    ceilings = {tuple(line.split()[-3:]) for line in means if line.startswith(("first stage", "trained"))}
    assert len(ceilings) == 1, "reranking cannot change what is among the best 50"
