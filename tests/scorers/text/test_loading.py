"""What cannot be opened safely is refused with the reason."""

import json
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from ltr.errors import ConfigError
from ltr.inference.reranker import Reranker
from ltr.scorers import BiEncoder, CausalScorer, load_scorer
from ltr.scorers.text import loading
from ltr.scorers.text.cross_encoder import CrossEncoder
from tests.scorers.causal.tiny import save_tiny_causal
from tests.tiny_model import save_tiny


def test_no_such_folder(tmp_path):
    with pytest.raises(ConfigError, match=r"no folder .*/absent; give a folder with config.json or a hub id"):
        CrossEncoder(str(tmp_path / "absent"))


def test_no_such_hub_id(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        ConfigError, match=r"nobody/nothing is neither a folder here nor a model that can be fetched \("
    ):
        CrossEncoder("nobody/nothing")


def test_no_config(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no config\.json, so it is no saved model$"):
        CrossEncoder(str(tmp_path))
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "config.json").touch()
    with pytest.raises(ConfigError, match=r"so it is no saved model; did you mean .*best\?"):
        CrossEncoder(str(tmp_path))


def test_config_that_is_no_json(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="neither a folder here nor a model that can be fetched"):
        CrossEncoder(str(tmp_path))


def test_pickled_weights_are_never_opened(tmp_path):
    folder = save_tiny(tmp_path / "model")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"as \*\.safetensors, found only pytorch_model\.bin, which may run code"):
        CrossEncoder(str(folder))
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ConfigError, match=r"as \*\.safetensors, found no weights"):
        CrossEncoder(str(folder))


def test_damaged_weights(tmp_path):
    folder = save_tiny(tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ConfigError, match=r"cannot open .*/model: "):
        CrossEncoder(str(folder))


def test_a_head_of_several_labels(tmp_path):
    folder = save_tiny(tmp_path / "model", head=True, labels=3)
    with pytest.raises(ConfigError, match="has a head of 3 labels; a ranker needs one logit"):
        CrossEncoder(str(folder))


def test_weights_of_another_architecture(tmp_path):
    folder = save_tiny(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "layer.1." not in k}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=r"lack 16 tensors of the encoder, such as bert\.encoder\.layer\.1\."):
        CrossEncoder(str(folder))


def test_weights_of_another_size(tmp_path):
    folder = save_tiny(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    with pytest.raises(ConfigError, match=r"6 tensors in .*/model have another size than config\.json says, such as"):
        CrossEncoder(str(folder))


def test_no_tokenizer(tmp_path):
    folder = save_tiny(tmp_path / "model")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ConfigError, match="no tokenizer in"):
        _ = CrossEncoder(str(folder)).tokenizer


def test_positions_of_roberta_start_after_the_padding_id(tmp_path):
    scorer = CrossEncoder(str(save_tiny(tmp_path / "model", "roberta")))
    assert scorer.max_positions == 63
    scorer.model.config.max_position_embeddings = -1
    assert scorer.max_positions is None


def test_layers_cannot_be_frozen_where_there_is_no_stack(tiny_model):
    model = CrossEncoder(str(tiny_model)).model
    model.config.num_hidden_layers = 5
    with pytest.raises(ConfigError, match="has no list of layers; freeze_layers must be 0"):
        loading.encoder_layers(model)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # of transformers, asked by peft
@pytest.mark.parametrize("make", [CrossEncoder, BiEncoder, partial(CausalScorer, prompt=None)])
def test_an_adapter_beside_whole_weights_is_never_half_used(make, tmp_path):
    """Layers are read by their weights, where an adapter would be missed; saving the model would lose one or the other."""
    peft = pytest.importorskip("peft")
    folder = tmp_path / "m"
    if isinstance(make, partial):
        save_tiny_causal(folder)
    else:
        save_tiny(folder, head=make is CrossEncoder)
    adapter = peft.LoraConfig(target_modules="all-linear", r=2)
    peft.get_peft_model(make(str(folder)).saved, adapter).save_pretrained(str(folder))
    with pytest.raises(ConfigError, match=r"holds an adapter .adapter_config.json. beside whole weights; merge it"):
        make(str(folder))


def test_a_cross_encoder_that_sentence_transformers_saved_is_opened(tmp_path):
    """With its scores; one that writes a prompt before what it reads would have others here, and is refused."""
    theirs = pytest.importorskip("sentence_transformers")
    other = theirs.CrossEncoder(str(save_tiny(tmp_path / "m", head=True)), device="cpu")
    other.save_pretrained(str(tmp_path / "plain"))
    pairs = [("join two paths", "join paths"), ("sort", "how to sort the list")]
    wanted = other.predict(pairs, activation_fn=torch.nn.Identity())
    assert isinstance(load_scorer(tmp_path / "plain"), CrossEncoder)
    found = Reranker.load(tmp_path / "plain", precision="32").score(pairs)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted), rtol=1e-5, atol=1e-5)
    other.prompts, other.default_prompt_name = {"web": "is the file "}, "web"
    other.save_pretrained(str(tmp_path / "prompted"))
    with pytest.raises(ConfigError, match=r"reads texts behind the prompt 'is the file ' .default_prompt_name"):
        load_scorer(tmp_path / "prompted")
