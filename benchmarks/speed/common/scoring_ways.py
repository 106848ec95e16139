"""The ways to score lists of passages that rerank.py compares; each loads its own package only.

A way takes a task (``model``, ``precision``, ``device``, ``threads``, ``max_length``, ``queries``, ``docs``, other
``queries`` and ``docs`` for ``calibration``, and a folder to ``work`` in) and gives a function that scores all passages
once and returns the scores query by query, from texts, tokenisation included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Task = dict[str, Any]
Score = Callable[[], list[float]]

#: tokens in a batch of the sorted ways, padding included: what was best of 1024, 2048, 4096 for torch on two cores
BUDGET = 2048


def pairs_of(task: Task) -> list[tuple[str, str]]:
    """(query, passage) of all lists, one after the other."""
    return [(query, doc) for query, docs in zip(task["queries"], task["docs"], strict=True) for doc in docs]


def ltr(task: Task) -> Score:
    """ltr's Reranker, as its users call it."""
    from ltr.inference import Reranker

    reranker = Reranker.load(task["model"], task["device"], task["precision"], max_length=task["max_length"])

    def score() -> list[float]:
        scores = []
        for ranked in reranker.rank_many(task["queries"], task["docs"]):
            own = {one.index: one.score for one in ranked}
            scores += [own[i] for i in range(len(own))]
        return scores

    return score


def sentence_transformers(task: Task) -> Score:
    """CrossEncoder.predict with its own batch size of 32."""
    import torch
    from sentence_transformers import CrossEncoder

    dtype = {"32": torch.float32, "bf16": torch.bfloat16}[task["precision"]]
    model = CrossEncoder(
        task["model"], device=task["device"], max_length=task["max_length"], model_kwargs={"dtype": dtype}
    )
    pairs, raw = pairs_of(task), torch.nn.Identity()
    return lambda: model.predict(pairs, activation_fn=raw, show_progress_bar=False).astype("float32").tolist()


def lightning_ir(task: Task) -> Score:
    """CrossEncoderModule.score, query by query; it puts a head of its own on the encoder, so its scores are not compared."""
    from lightning_ir import CrossEncoderModule
    from lightning_ir.models import MonoConfig

    # 32 + 220 tokens and the special ones are the 256 of the others
    config = MonoConfig(query_length=32, doc_length=task["max_length"] - 36)
    model = CrossEncoderModule(task["model"], config=config).eval().to(task["device"])
    lists = list(zip(task["queries"], task["docs"], strict=True))
    return lambda: [s for query, docs in lists for s in model.score([query], [docs]).scores.float().tolist()]


def sorted_budget(task: Task) -> Score:
    """Plain transformers with what anyone would do: passages sorted by length, batches of so many tokens."""
    import torch
    from transformers import AutoModelForSequenceClassification

    dtype = {"32": torch.float32, "bf16": torch.bfloat16}[task["precision"]]
    model = AutoModelForSequenceClassification.from_pretrained(task["model"], num_labels=1, dtype=dtype)
    model = model.eval().to(task["device"])

    @torch.inference_mode()
    def run(inputs: dict[str, Any]) -> Any:
        return model(**{name: value.to(task["device"]) for name, value in inputs.items()}).logits[:, 0].float().cpu()

    return _in_batches(task, run)


def openvino(task: Task) -> Score:
    """OpenVINO's own compiler, on the sorted batches: fp32, bf16, or int8 weights and activations by its calibration."""
    import openvino as ov

    kept = Path(task["work"], f"openvino-{'int8' if task['precision'] == 'int8' else 'float'}.xml")
    core = ov.Core()
    model = core.read_model(kept) if kept.is_file() else _openvino_model(task, kept)
    hints = {"32": "f32", "bf16": "bf16", "int8": "f32"}
    compiled = core.compile_model(
        model, "CPU",
        {
            "INFERENCE_PRECISION_HINT": hints[task["precision"]],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": task["threads"],
        },
    )  # fmt: skip
    request = compiled.create_infer_request()

    def run(inputs: dict[str, Any]) -> Any:
        import torch

        found = request.infer([inputs[n].numpy() for n in ("input_ids", "attention_mask", "token_type_ids")])
        return torch.from_numpy(found[0][:, 0].copy())

    return _in_batches(task, run)


def _openvino_model(task: Task, kept: Path) -> Any:
    """The model converted from torch, for int8 quantised with NNCF on other passages; kept for the next time."""
    import openvino as ov
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(task["model"], num_labels=1, dtype=torch.float32).eval()
    ids = torch.ones(2, 8, dtype=torch.long)
    example = {"input_ids": ids, "attention_mask": ids, "token_type_ids": ids - 1}
    with torch.no_grad():
        converted = ov.convert_model(model, example_input=example)
    if task["precision"] == "int8":
        import nncf

        samples = [
            [inputs[name].numpy() for name in example]
            for _, inputs in _batches({**task, **task["calibration"]}, 1024)
        ]  # fmt: skip
        converted = nncf.quantize(
            converted, nncf.Dataset(samples), model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.MIXED, subset_size=len(samples),
        )  # fmt: skip
    kept.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(converted, kept, compress_to_fp16=False)
    return converted


def _in_batches(task: Task, run: Callable[[dict[str, Any]], Any]) -> Score:
    import torch

    def score() -> list[float]:
        found = torch.empty(sum(map(len, task["docs"])))
        for places, inputs in _batches(task, BUDGET):
            found[places] = run(inputs)
        return found.tolist()

    return score


def _batches(task: Task, budget: int) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """Tokenised passages sorted by length, longest first, padded, at most ``budget`` tokens a batch; with their places."""
    import torch

    pairs, tokenizer = pairs_of(task), _tokenizer(task["model"])
    encoded = tokenizer(
        [query for query, _ in pairs], [doc for _, doc in pairs], truncation=True, max_length=task["max_length"],
        return_token_type_ids=True,
    )  # fmt: skip
    lengths = [len(ids) for ids in encoded["input_ids"]]
    order = sorted(range(len(pairs)), key=lambda i: -lengths[i])
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        places = order[start : start + max(1, budget // longest)]
        inputs = {}
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            fill = tokenizer.pad_token_id if name == "input_ids" else 0
            rows = [encoded[name][i] + [fill] * (longest - lengths[i]) for i in places]
            inputs[name] = torch.tensor(rows)
        yield places, inputs
        start += len(places)


def _tokenizer(model: str, loaded: dict[str, Any] = {}) -> Any:  # noqa: B006 (kept from call to call on purpose)
    from transformers import AutoTokenizer

    if model not in loaded:
        loaded[model] = AutoTokenizer.from_pretrained(model)
    return loaded[model]


WAYS: dict[str, Callable[[Task], Score]] = {
    "ltr": ltr,
    "sentence-transformers": sentence_transformers,
    "lightning-ir": lightning_ir,
    "sorted": sorted_budget,
    "openvino": openvino,
}
