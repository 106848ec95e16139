"""A base-size encoder in bf16 on a GPU: scoring and training by ltr and by sentence-transformers, and the machine's limits.

    python benchmarks/speed/gpu.py [--device cuda] [--rounds 5] [--quick] [--output FILE]

The model is BERT-base with random weights and texts are random words, 78 tokens a pair on average and at most 256, so that
nothing is fetched. Both sides read texts, truncate and tokenise alike: ltr's texts are tokenised before, as its loader does
in training; sentence-transformers tokenises in its loop. "% of the peak" are the operations that were computed, without
those that padding or pruning make needless, against the best square product in bf16 in the same run.

``--quick --device cpu`` runs the same code on tiny sizes; each run first checks that packed and padded scores agree.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import report
from machine import product

from ltr.batch import TextLists, TokenRows
from ltr.links import Asinh
from ltr.losses import ApproxNDCG, DifferenceMatching, LambdaRank, ListNet, RankNet
from ltr.losses.engines import compiled
from ltr.scorers.text.cross_encoder import CrossEncoder

WORDS = 5000
#: hidden size, layers, heads, lists, documents a list
BASE, TINY = (768, 12, 12, 32, 32), (32, 2, 4, 2, 4)


def save_model(folder: Path, hidden: int, layers: int, heads: int) -> Path:
    """A BERT with random weights and a tokenizer that knows a word a token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    config = BertConfig(
        vocab_size=WORDS + 4, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=4 * hidden, max_position_embeddings=256, num_labels=1, attention_probs_dropout_prob=0.1,
    )  # fmt: skip
    torch.manual_seed(0)
    BertForSequenceClassification(config).save_pretrained(folder)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    ids = {word: i for i, word in enumerate([*special, *(f"w{i}" for i in range(WORDS))])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=256, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip
    return folder


def texts(lists: int, docs: int, longest: int = 256) -> tuple[list[str], list[list[str]]]:
    """Queries of 6 words, and documents whose lengths spread as passages' do."""
    draw = torch.Generator().manual_seed(0)
    lengths = (torch.randn(lists, docs, generator=draw) * 0.45 + 4.05).exp().long().clamp(4, longest - 9)

    def words(n: int) -> str:
        return " ".join(f"w{i}" for i in torch.randint(WORDS, (n,), generator=draw).tolist())

    return [words(6) for _ in range(lists)], [[words(n) for n in row] for row in lengths.tolist()]


def encoded(scorer: CrossEncoder, queries: list[str], docs: list[list[str]]) -> TextLists:
    """The texts as one batch, the first document of each list relevant."""
    pairs = [(q, d) for q, row in zip(queries, docs, strict=True) for d in row]
    found = scorer.tokenizer([q for q, _ in pairs], [d for _, d in pairs], truncation=True, max_length=256)
    ids = [torch.tensor(row) for row in found["input_ids"]]
    n = len(docs[0])
    return TextLists(
        torch.arange(0, len(pairs) + 1, n),
        labels=(torch.arange(len(pairs)) % n == 0).float(),
        tokens=TokenRows(
            torch.cat(ids),
            torch.cat([torch.tensor(row) for row in found["token_type_ids"]]),
            torch.tensor([0, *map(len, ids)]).cumsum(0),
        ),
    )


def check(scorer: CrossEncoder, batch: TextLists) -> float:
    """Largest difference of packed to padded scores in fp32, relative to the scores' spread; ends the script if large."""
    scorer.eval()
    with torch.inference_mode():
        packed = scorer(batch)
        scorer._packs, was = False, scorer._packs
        padded = scorer(batch)
        scorer._packs = was
    moved = float((packed - padded).abs().max() / padded[batch.mask].std())
    if not was or moved > 1e-3:
        sys.exit(f"gpu.py: packed and padded scores differ by {moved:.2g} of their spread (packed: {was})")
    return moved


def operations(config: Any, lengths: torch.Tensor) -> float:
    """Of the packed forward pass: all layers for every token, but the last, which gives keys and values only."""
    n, hidden, layers = lengths.double(), config.hidden_size, config.num_hidden_layers
    matrices, attention = 24.0 * hidden**2, 4.0 * hidden
    whole = (layers - 1) * (matrices * n + attention * n**2)
    return float((whole + 4.0 * hidden**2 * n + (matrices - 4 * hidden**2) + attention * n).sum())


def rival(folder: Path, device: str, queries: list[str], docs: list[list[str]]) -> dict[str, Callable[[], Any]]:
    """sentence-transformers in bf16: predict in its largest usual batch, and its ListNet under autocast."""
    from sentence_transformers import CrossEncoder as Theirs
    from sentence_transformers.cross_encoder.losses import ListNetLoss

    scored = Theirs(str(folder), device=device, max_length=256, model_kwargs={"dtype": torch.bfloat16})
    pairs = [(q, d) for q, row in zip(queries, docs, strict=True) for d in row]
    trained = Theirs(str(folder), device=device, max_length=256)
    loss, labels = ListNetLoss(trained), [torch.tensor([1.0] + [0.0] * (len(row) - 1)) for row in docs]
    optimizer = torch.optim.AdamW(trained.parameters(), lr=1e-5)
    trained.train()

    def step() -> None:
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            cost = loss([queries, docs], labels)
        optimizer.zero_grad()
        cost.backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()

    return {"scoring": lambda: scored.predict(pairs, batch_size=128, show_progress_bar=False), "training": step}


def ours(folder: Path, device: str, batch: TextLists) -> dict[str, Callable[[], Any]]:
    """The same by ltr."""
    scored = CrossEncoder(str(folder)).eval().lowered(torch.bfloat16).to(device)
    trained = CrossEncoder(str(folder)).train().to(device)
    optimizer = torch.optim.AdamW(trained.parameters(), lr=1e-5, fused=True)
    assert batch.labels is not None
    loss, labels = ListNet(), batch.pad(batch.labels)

    def score() -> None:
        with torch.inference_mode():
            scored(batch).float().cpu()

    def step() -> None:
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            cost = loss(trained(batch), labels, batch.mask).mean()
        optimizer.zero_grad()
        cost.backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()

    return {"scoring": score, "training": step}


def seconds(work: Callable[[], Any], rounds: int, device: str) -> tuple[float, float | None]:
    """Median seconds after a first round, and the peak of the GPU's memory in GB."""
    cuda = device.startswith("cuda")
    work()
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    times = []
    for _ in range(rounds):
        with torch.cuda.device(device) if cuda else contextlib.nullcontext():
            torch.cuda.synchronize() if cuda else None
            start = time.perf_counter()
            work()
            torch.cuda.synchronize() if cuda else None
            times.append(time.perf_counter() - start)
    return statistics.median(times), torch.cuda.max_memory_allocated(device) / 1e9 if cuda else None


def bandwidth(device: str, rounds: int, quick: bool) -> list[dict[str, Any]]:
    """Losses forward and backward: bytes that scores, labels and gradients are, over the time, beside a plain copy's.

    The memory is what they hold at most beside what was there, for comparison with that of one number for each pair.
    """
    block = torch.zeros(2**16 if quick else 2**28, device=device)
    rows: list[dict[str, Any]] = [{"work": "copy", "bytes": 8 * block.numel(), "call": lambda: block.clone()}]
    lists, docs = (4, 8) if quick else (64, 1000)
    scores = torch.randn(lists, docs, device=device, requires_grad=True)
    labels, mask = torch.randint(3, (lists, docs), device=device).float(), torch.ones_like(scores, dtype=torch.bool)
    for loss in (ListNet(), RankNet(), LambdaRank(), DifferenceMatching(Asinh()), ApproxNDCG()):
        call = lambda loss=loss: torch.autograd.grad(loss(scores, labels, mask).mean(), scores)  # noqa: E731
        rows.append({"work": type(loss).__name__, "bytes": 12 * scores.numel(), "call": call})
    for row in rows:
        held = torch.cuda.memory_allocated(device) if device.startswith("cuda") else 0
        spent, memory = seconds(row.pop("call"), rounds, device)
        row |= {"ms": 1000 * spent, "GB/s": row.pop("bytes") / spent / 1e9}
        row |= {"MB": None if memory is None else 1000 * memory - held / 1e6, "MB of all pairs": None}
        if row["work"] != "copy":
            row["MB of all pairs"] = 4 * lists * docs**2 / 1e6
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("--output")
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("gpu.py: torch sees no CUDA device here; --device cpu --quick runs the same code on tiny sizes")
    hidden, layers, heads, lists, docs = TINY if args.quick else BASE
    rounds = 1 if args.quick else args.rounds
    found = product(
        "bf16", (256, 256, 256) if args.quick else (8192, 8192, 8192), 0.1 if args.quick else 1, args.device
    )
    assert found is not None
    peak = found[0]
    with tempfile.TemporaryDirectory() as temporary:
        folder = save_model(Path(temporary), hidden, layers, heads)
        queries, documents = texts(lists, docs)
        scorer = CrossEncoder(str(folder)).to(args.device)
        batch = encoded(scorer, queries, documents).to(args.device)
        moved = check(scorer, batch)
        forward = operations(scorer.model.config, batch.lengths)
        sides = {
            "sentence-transformers": rival(folder, args.device, queries, documents),
            "ltr": ours(folder, args.device, batch),
        }
        rows: list[dict[str, Any]] = []
        for use, share in (("scoring", 1), ("training", 3)):
            first = None
            for name, works in sides.items():
                spent, memory = seconds(works[use], rounds, args.device)
                first = first or spent
                percent = 100 * share * forward / spent / 1e9 / peak if name == "ltr" else None
                rows.append({
                    "bf16": f"{name}, {use}", "pairs/s": lists * docs / spent, "x ST": first / spent,
                    "% of the peak": percent, "peak GB": memory,
                })  # fmt: skip
    losses = bandwidth(args.device, rounds, args.quick)
    print(
        f"best bf16 product: {peak / 1000:.3g} TFLOP/s; packed and padded scores differ by {moved:.1g} of their spread\n"
    )
    print(report.table(rows), report.table(losses), sep="\n\n")
    result = {"rows": rows, "losses": losses, "GFLOP/s": peak, "packed to padded": moved}
    report.write("gpu", result, ("torch", "transformers", "sentence-transformers"), args.output)
    # last: what was measured is kept
    if compiled._refused:
        sys.exit(
            f"gpu.py: losses were not compiled, their rows are those of blocks: {', '.join(compiled._refused.values())}"
        )


if __name__ == "__main__":
    main()
