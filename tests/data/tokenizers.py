"""Tiny tokenizers of several kinds, trained on the spot: no download, no large file."""

from __future__ import annotations

from pathlib import Path

WORDS = (
    "the quick brown fox jumps over a lazy dog while seventeen penguins discuss ranking documents by relevance ; "
    "how to join two paths ? os.path.join(a, b) returns the concatenation of paths and it is often used , really"
)
TEXTS = [WORDS, WORDS.upper(), " ".join(reversed(WORDS.split()))]

#: kind -> (special tokens, template of one text, template of a pair, names of the model's inputs)
KINDS = {
    "bert": (
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
        "[CLS] $A [SEP]",
        "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        ["input_ids", "token_type_ids", "attention_mask"],
    ),
    "deberta": (
        ["[PAD]", "[CLS]", "[SEP]", "[UNK]"],
        "[CLS] $A [SEP]",
        "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        ["input_ids", "token_type_ids", "attention_mask"],
    ),
    "roberta": (
        ["<s>", "<pad>", "</s>", "<unk>"],
        "<s> $A </s>",
        "<s>:0 $A:0 </s>:0 </s>:0 $B:0 </s>:0",
        ["input_ids", "attention_mask"],
    ),
    # segments in the template, but a model that takes none
    "modernbert": (
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
        "[CLS] $A [SEP]",
        "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        ["input_ids", "attention_mask"],
    ),
}


def tiny_tokenizer(kind: str, max_length: int = 512, texts: list[str] = TEXTS):
    """A fast tokenizer of one of KINDS."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special, one, two, inputs = KINDS[kind]
    unknown = special[3] if special[3].lower() in ("[unk]", "<unk>") else special[1]
    if kind == "bert":
        tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=250, special_tokens=special, show_progress=False)
    elif kind == "deberta":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=120, special_tokens=special, unk_token=unknown, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=special,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
    tokenizer.train_from_iterator(texts, trainer)
    ids = [(token, tokenizer.token_to_id(token)) for token in special]
    tokenizer.post_processor = processors.TemplateProcessing(single=one, pair=two, special_tokens=ids)
    cls, sep = one.split()[0], one.split()[-1]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        model_input_names=inputs,
        cls_token=cls,
        sep_token=sep,
        unk_token=unknown,
        pad_token=next(token for token in special if "pad" in token.lower()),
    )


def saved_tokenizer(folder: Path, kind: str = "bert", **options) -> str:
    """The same, saved as a model folder has it."""
    tiny_tokenizer(kind, **options).save_pretrained(folder)
    return str(folder)
