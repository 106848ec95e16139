"""``ltr data`` from the command line."""

from ltr.cli.main import main
from ltr.data.collections.collection import load


def test_check_prints_the_report(tiny_folder, capsys):
    assert main(["data", "check", "--dataset", f"{tiny_folder}/dev", "--train", f"{tiny_folder}/train"]) == 0
    shown = capsys.readouterr().out
    assert "relevant per query" in shown
    assert "shared with" in shown
    assert shown.endswith("nothing stands in the way\n")


def test_check_fails_where_something_stands_in_the_way(tiny_folder, capsys):
    assert main(["data", "check", "--dataset", str(tiny_folder), "--train", str(tiny_folder)]) == 1
    assert "! 4 queries (100.0%) have the text of a query of" in capsys.readouterr().out


def test_check_counts_tokens(tiny_folder, tmp_path, capsys):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")
    fast.save_pretrained(tmp_path / "model")
    assert main(["data", "check", "--dataset", str(tiny_folder), "--tokenizer", str(tmp_path / "model")]) == 0
    assert "  tokens" in capsys.readouterr().out


def test_check_of_an_unknown_tokenizer(tiny_folder, tmp_path, capsys):
    assert main(["data", "check", "--dataset", str(tiny_folder), "--tokenizer", str(tmp_path / "none")]) == 1
    assert "tokenizer: cannot load" in capsys.readouterr().err


def test_export(tiny_folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["data", "export", "--dataset", f"{tiny_folder}/dev", "--output", str(out)]) == 0
    assert load(out).queries == {"q3": "join paths", "q4": "read the lines of a file"}
    assert f"next: ltr data check --dataset {out}" in capsys.readouterr().out


def test_usage_and_wrong_action(capsys):
    assert main(["data"]) == 0
    assert "usage: ltr data check --dataset NAME" in capsys.readouterr().out
    assert main(["data", "chekc"]) == 2
    assert "no action 'chekc'; did you mean 'check'?" in capsys.readouterr().err


def test_unknown_dataset(capsys):
    assert main(["data", "check", "--dataset", "beir/scifcat/train"]) == 1
    assert "did you mean 'beir/scifact/train'?" in capsys.readouterr().err
