"""A server to be measured, in a process of its own: ``python serving_child.py WAY MODEL PORT``.

Imports nothing of ltr's but in ltr's ways, since rivals run in environments of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

#: (folder of the model, port); serves until it is ended
Way = Callable[[str, int], None]


def ltr(model: str, port: int, precision: str = "32", *more: str) -> None:
    from ltr.cli.main import main

    given = ["--model", f"demo={model}", "--port", str(port), "--precision", precision, "--log", "off"]
    raise SystemExit(main(["serve", *given, "--workers", "2", *more]))


def ltr_bf16(model: str, port: int) -> None:
    ltr(model, port, "bf16")


def ltr_first_come(model: str, port: int) -> None:
    """The same engine, whose slices are filled in the order in which requests came."""
    from ltr.serving.work.order import Waiting

    Waiting._place = lambda self, job, now, seconds_per_token: (job.priority, job.arrived)  # type: ignore[method-assign]
    ltr_bf16(model, port)


def ltr_hurried(model: str, port: int) -> None:
    """Lets nobody wait longer than five seconds."""
    ltr(model, port, "bf16", "--max-wait", "5")


def ltr_graceful(model: str, port: int) -> None:
    """Takes new requests for five seconds after it was asked to end, as behind a balancer."""
    ltr(model, port, "bf16", "--grace", "5")


def sentence_transformers(model: str, port: int) -> None:
    """What most people write: FastAPI, a lock, and ``CrossEncoder.predict``."""
    import threading

    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel
    from sentence_transformers import CrossEncoder

    class Body(BaseModel):
        query: str
        documents: list[str]

    app, lock = FastAPI(), threading.Lock()
    encoder = CrossEncoder(model, device="cpu", max_length=256)

    def rerank(body: Body) -> dict:
        import torch

        with lock:
            pairs = [(body.query, doc) for doc in body.documents]
            scores = encoder.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False).tolist()
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        return {"results": [{"index": i, "relevance_score": scores[i]} for i in order]}

    rerank.__annotations__["body"] = Body
    app.post("/rerank")(rerank)
    app.get("/ready")(lambda: {})
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def infinity(model: str, port: int) -> None:
    import os

    os.environ.update(DO_NOT_TRACK="1", INFINITY_ANONYMOUS_USAGE_STATS="0")
    from infinity_emb.cli import cli

    given = [
        "--model-id",
        model,
        "--served-model-name",
        "demo",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--device",
        "cpu",
    ]
    sys.argv = ["infinity_emb", "v2", *given, "--log-level", "error"]
    cli()


WAYS: dict[str, Way] = {
    "ltr fp32": ltr,
    "ltr bf16": ltr_bf16,
    "ltr bf16, first come": ltr_first_come,
    "ltr bf16, at most 5 s": ltr_hurried,
    "ltr bf16, 5 s of grace": ltr_graceful,
    "sentence-transformers + FastAPI + lock": sentence_transformers,
    "Infinity": infinity,
}


def main() -> None:
    way, model, port = sys.argv[1:]
    WAYS[way](model, int(port))


if __name__ == "__main__":
    main()
