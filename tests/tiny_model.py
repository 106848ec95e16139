"""A two-layer encoder with random weights and a small vocabulary, saved as a folder; import ``tiny_model`` in a conftest."""

from pathlib import Path

import pytest
import torch

WORDS = [
    "the",
    "a",
    "of",
    "to",
    "and",
    "in",
    "is",
    "how",
    "what",
    "join",
    "two",
    "paths",
    "split",
    "string",
    "file",
    "read",
    "write",
    "list",
    "sort",
    "number",
    "text",
    "open",
    "close",
    "python",
    "return",
    "value",
    "array",
    "index",
    "search",
    "rank",
    "score",
    "query",
    "document",
    "first",
    "second",
    "best",
    "model",
    "train",
    "loss",
    "link",
]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,?!'-"


def save_tokenizer(folder: Path, length: int = 64) -> None:
    """A lower-casing WordPiece tokenizer with [CLS] a [SEP] b [SEP], that knows WORDS and single letters."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*special, *LETTERS, *(f"##{c}" for c in LETTERS), *(w for w in WORDS if len(w) > 1)]
    ids = {word: i for i, word in enumerate(dict.fromkeys(vocabulary))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=length, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip


def save_tiny(folder: Path, kind: str = "bert", head: bool = False, labels: int = 1, **settings) -> Path:
    """Save a tiny model of an architecture; without ``head`` only the backbone, as most pretrained ones come; ``settings`` go to its config."""
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    if kind == "distilbert":
        sizes = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    length = settings.pop("max_position_embeddings", 64)
    special = {"modernbert": {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}}.get(kind, {})
    config = AutoConfig.for_model(
        kind,
        vocab_size=160,
        max_position_embeddings=length,
        pad_token_id=0,
        num_labels=labels,
        **{**sizes, **special, **settings},
    )
    config.initializer_range = 0.3  # scores that differ clearly
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = (AutoModelForSequenceClassification if head else AutoModel).from_config(config)
        # fresh biases are 0 and fresh norms 1: code that forgot them would not be noticed
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    save_tokenizer(folder, length)
    return folder


def save_mlm(folder: Path, kind: str = "bert") -> str:
    """Save a tiny masked-language model beside its backbone, as ``Sparse`` starts from; gives its folder."""
    from transformers import AutoConfig, AutoModelForMaskedLM

    config = AutoConfig.from_pretrained(save_tiny(folder / "backbone", kind))
    config.initializer_range = 0.3
    with torch.random.fork_rng():
        torch.manual_seed(3)
        AutoModelForMaskedLM.from_config(config).save_pretrained(folder / "mlm")
    save_tokenizer(folder / "mlm")
    return str(folder / "mlm")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """The folder of a tiny BERT without a scoring head."""
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")
