"""``ltr push``: what goes to a hub is a model with its card and nothing else, and only to whom it may."""

import json
import shutil

import pytest

import ltr
from ltr.cli.main import main
from ltr.errors import DataError
from ltr.integrations.hub import chosen_folder, home_places, parts_of
from ltr.links import Sigmoid
from ltr.losses import Matching
from ltr.report.cards.sealed import CARD, is_own, sealed
from ltr.training.run.records import write_manifest
from tests.integrations.fake_hub import FakeHub

NAME = "me/demo"

# huggingface_hub calls httpx by names that are to go
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(monkeypatch):
    """A hub on loopback to which huggingface_hub goes, and a token that may write there."""
    from huggingface_hub import constants

    fake = FakeHub()
    server = fake.serve()
    monkeypatch.setattr(constants, "ENDPOINT", fake.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", fake.token)
    yield fake
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(model_folder, tmp_path):
    """A run folder with a model and a manifest, without a training."""
    folder = tmp_path / "demo"
    shutil.copytree(model_folder, folder / "best")
    write_manifest(folder, loss="ListNet()", scorer="CrossEncoder", status="finished")
    return folder


def test_a_model_arrives_whole_and_private_with_a_card_of_its_name(hub, run, capsys):
    write_manifest(run, loss=repr(Matching(Sigmoid(center=2.0))))
    assert main(["push", str(run), "--to", NAME]) == 0
    assert hub.repos == {NAME: True}
    sent = {path: content for (_, path), content in hub.files.items()}
    assert set(sent) == {*(p.name for p in (run / "best").iterdir()), CARD, "link.png"}
    for path in (run / "best").iterdir():
        assert sent[path.name] == path.read_bytes()
    text = sent[CARD].decode()
    assert not is_own(text)
    assert 'Reranker.load("me/demo")' in text
    assert "(link.png)" in text
    assert sent["link.png"].startswith(b"\x89PNG")
    assert hub.commits == [f"best of demo, by ltr {ltr.__version__}"]
    assert f"uploaded: {hub.address}/{NAME}/commit/1" in capsys.readouterr().out
    assert not (run / "best" / CARD).exists()  # the folder itself stays as it was


def test_a_dry_run_lists_files_and_sizes_and_sends_nothing(hub, run, capsys):
    assert main(["push", str(run / "best"), "--to", NAME, "--dry-run"]) == 0
    said = capsys.readouterr().out
    size = (run / "best" / "model.safetensors").stat().st_size
    assert f"{size:>14,}  model.safetensors" in said
    assert "(private)" in said
    assert not hub.repos


def test_a_card_that_somebody_edited_goes_as_it_is(hub, run):
    (run / "best" / CARD).write_bytes(b"---\nlicense: mit\n---\n# mine\n")
    assert main(["push", str(run), "--to", NAME, "--public"]) == 0
    assert hub.files[NAME, CARD] == b"---\nlicense: mit\n---\n# mine\n"
    assert hub.repos == {NAME: False}


def test_an_export_beside_the_training_keeps_its_own_card(hub, run):
    export = shutil.copytree(run / "best", run / "int8")
    (export / CARD).write_text(sealed("# int8\n\nchecked on 15 other queries\n"))
    assert main(["push", str(export), "--to", NAME]) == 0
    assert b"checked on 15 other queries" in hub.files[NAME, CARD]
    assert (NAME, "link.png") not in hub.files


def test_what_all_may_read_is_written_to_only_when_asked(hub, run, capsys):
    hub.repos[NAME] = False
    assert main(["push", str(run), "--to", NAME]) == 1
    assert "all may read me/demo; give --public" in capsys.readouterr().err
    assert not hub.files
    assert main(["push", str(run), "--to", NAME, "--public"]) == 0


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("optimizer.bin", b"\x80\x02}q\x00.", "a pickle or archive"),
        ("model.safetensors", b"\x80\x04\x95 pickled", "a pickle or archive"),
        ("last.ckpt", b"PK\x03\x04....", "a pickle or archive"),
        ("model.safetensors", b"weights", "not the form of safetensors"),
        ("modeling_mine.py", b"import os", "neither weights, tokenizer, configuration nor card"),
        (".env", b"TOKEN=1", "neither weights, tokenizer, configuration nor card"),
        ("notes.json", b"{", "not JSON"),
    ],
)
def test_files_that_are_no_part_of_a_model_are_refused(name, content, why, hub, run, capsys):
    (run / "best" / name).write_bytes(content)
    assert main(["push", str(run), "--to", NAME]) == 1
    said = capsys.readouterr().err
    assert f"{name} ({why}" in said
    assert "move it elsewhere, and push again" in said
    assert not hub.repos


def test_links_are_refused(run, tmp_path):
    (tmp_path / "secret.json").write_text("{}")
    (run / "best" / "more.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(DataError, match=r"more\.json \(a link\)"):
        parts_of(run / "best")


def test_a_folder_without_weights_or_card_is_refused(run, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no weights"):
        parts_of(tmp_path / "empty")
    with pytest.raises(DataError, match="is a file; give the folder of a model"):
        chosen_folder(str(run / "manifest.json"))
    shutil.move(run / "best", tmp_path / "alone")
    with pytest.raises(DataError, match="has no best model yet"):
        chosen_folder(str(run))


def test_a_model_without_card_and_training_is_refused(hub, run, tmp_path, capsys):
    alone = shutil.move(run / "best", tmp_path / "alone")
    assert main(["push", str(alone), "--to", NAME]) == 1
    assert "holds no card (README.md), and no training of ltr stands beside it" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "said"), [("demo", "Give user/name"), ("me/de mo", "give user/name")])
def test_a_name_that_no_repository_can_have_is_refused(name, said, run, capsys):
    assert main(["push", str(run), "--to", name]) == 1
    assert said in capsys.readouterr().err


def test_no_token_is_told_before_anything_is_sent(hub, run, monkeypatch, tmp_path, capsys):
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    assert main(["push", str(run), "--to", NAME]) == 1
    assert "there is no token; run hf auth login, or set HF_TOKEN" in capsys.readouterr().err


def test_what_the_hub_refuses_is_said_with_what_to_do(hub, run, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert main(["push", str(run), "--to", NAME]) == 1
    assert "hf auth whoami tells whose it is" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", hub.token)
    hub.broken = 400
    assert main(["push", str(run), "--to", NAME]) == 1
    assert "look at the head of README.md" in capsys.readouterr().err


def test_an_unreachable_hub_and_offline_mode_are_said(hub, run, monkeypatch, capsys):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["push", str(run), "--to", NAME]) == 1
    assert "HF_HUB_OFFLINE is set" in capsys.readouterr().err


def test_folders_of_this_machine_in_texts_are_told(hub, run, monkeypatch, capsys):
    monkeypatch.setenv("HOME", "/home/somebody")
    (run / "best" / CARD).write_text("# mine, of /home/somebody/data\n")
    assert main(["push", str(run), "--to", NAME, "--dry-run"]) == 0
    assert "note: a place of this machine stands in README.md: /home/somebody" in capsys.readouterr().out


def test_places_that_texts_name_are_told_where_they_are_there(hub, run, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HOME", "/home/somebody")
    (tmp_path / "client").mkdir()
    own = json.loads((run / "best" / "ltr.json").read_text())
    names = [f"{tmp_path}/client[:80%]", f"{tmp_path}/nowhere", "https://host/etc/passwd"]
    (run / "best" / "ltr.json").write_text(json.dumps(own | {"trained_on": names}))
    assert main(["push", str(run), "--to", NAME, "--dry-run"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("note")] == [
        f"note: a place of this machine stands in ltr.json: {tmp_path}/client[:80%]"
    ]


def test_a_home_that_is_a_link_is_told_by_both_names(monkeypatch, tmp_path):
    (tmp_path / "me").symlink_to(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert {str(tmp_path / "me"), str(tmp_path)} <= set(home_places())
