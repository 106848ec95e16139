"""Log-probabilities of a reference model, computed once for each completion and kept by what they were computed from."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ltr.batch import TokenRows
from ltr.errors import DataError
from ltr.io.caching.cache_folder import cache_folder
from ltr.io.caching.digests import digest
from ltr.io.files import beside

#: values are written when at least so many are new
OFTEN = 256


class References:
    """A table from rows of tokens to numbers, in memory and in the user's cache.

    Args:
        name: what the numbers depend on beside the row: weights and precision.
    """

    def __init__(self, name: str):
        self.name = name
        self._values: dict[bytes, float] | None = None
        self._written = 0
        self._turn = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["name"])  # type: ignore[misc]

    def known(self, keys: list[bytes]) -> list[float | None]:
        """The number of each row, None where it is not known."""
        return [self._held().get(key) for key in keys]

    def put(self, keys: list[bytes], values: list[float]) -> None:
        """Keep numbers, and write them now and then."""
        held = self._held()
        with self._turn:
            held.update(zip(keys, values, strict=True))
            due = len(held) - self._written >= max(OFTEN, self._written // 4)
        if due:
            self.write()

    def write(self) -> None:
        """Write what is new into the cache; a cache that cannot be written is no error."""
        with self._turn:
            held = dict(self._held())
            if len(held) == self._written:
                return
            keys = torch.frombuffer(bytearray(b"".join(held)), dtype=torch.uint8).view(-1, 16)
            with contextlib.suppress(OSError, DataError):
                place = self._place()
                with beside(place) as part:
                    save_file({"keys": keys, "values": torch.tensor(list(held.values()), dtype=torch.float64)}, part)
                self._written = len(held)

    def _held(self) -> dict[bytes, float]:
        if self._values is None:
            self._values = {}
            with contextlib.suppress(OSError, DataError, SafetensorError, KeyError):
                held = load_file(self._place())
                keys = held["keys"].numpy().tobytes()
                rows = [keys[i : i + 16] for i in range(0, len(keys), 16)]
                self._values = dict(zip(rows, held["values"].tolist(), strict=True))
            self._written = len(self._values)
        return self._values

    def _place(self) -> Path:
        return cache_folder("references") / f"{self.name}.safetensors"


def row_keys(tokens: TokenRows) -> list[bytes]:
    """16 bytes for each row that tell rows of other tokens or other completions apart."""
    ids, marks = tokens.ids.cpu().numpy(), tokens.marks.cpu().numpy()
    bounds = tokens.offsets.tolist()
    return [
        hashlib.blake2b(ids[a:b].tobytes() + b"|" + marks[a:b].tobytes(), digest_size=16).digest()
        for a, b in pairwise(bounds)
    ]


def weights_digest(source: str, model: Callable[[], Any]) -> str:
    """16 hexadecimal digits of a model's weights and settings: of its files where they lie here, else of what was opened.

    Args:
        source: folder or hub id.
        model: a function that gives the model.
    """
    folder, whole = Path(source), hashlib.blake2b(digest_size=8)
    settings = folder / "config.json"
    if settings.is_file():  # a folder without it holds adapters alone, which do not say what their base is
        for file in (settings, *sorted(folder.glob("*.safetensors"))):
            whole.update(digest(file).encode())
        return whole.hexdigest()
    opened = model()
    whole.update(opened.config.to_json_string(use_diff=False).encode())
    tensors: dict[str, Tensor] = opened.state_dict()
    for name, tensor in sorted(tensors.items()):
        whole.update(name.encode())
        whole.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()
