"""A saved model onto a model hub: which files may go there, and their upload by huggingface_hub."""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from ltr.errors import ConfigError, DataError, MissingExtra
from ltr.io.files import existing
from ltr.report.cards.model_card import PICTURE
from ltr.report.cards.picture import draw, link_of
from ltr.report.cards.sealed import CARD, own_card, sealed
from ltr.training.run.records import MANIFEST
from ltr.training.run.saved_models import card_of, training_of

log = logging.getLogger(__name__)

#: what a saved model consists of: weights, configuration, tokenizer, card
KINDS = (
    *("*.safetensors", "*.safetensors.index.json", "*.onnx", "*.onnx_data"),
    *("*.json", "*.jinja", "merges.txt", "vocab.txt", "*.model", "*.tiktoken"),
    *(CARD, "LICENSE*", "LICENCE*", "*.png", "*.svg"),
)
#: how files begin that run code when they are opened: pickles of protocol 2 and up, and zip files, which torch.save makes
PICKLES = (*(b"\x80" + bytes([protocol]) for protocol in range(2, 8)), b"PK\x03\x04")
#: what may be a file or folder by its full path, of two parts at least, in JSON or prose
_PLACE = re.compile(r"""(?<![\w/.:~])(?:/[^\s/"'`<>|,]+){2,}""")
TEXTS = (".json", ".md", ".txt", ".jinja")


@dataclass(frozen=True)
class Part:
    """A file of a model, by its name in the repository.

    Attributes:
        name: its path below the folder, with slashes.
        content: where it lies, or the bytes themselves.
    """

    name: str
    content: Path | bytes

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def text(self) -> str:
        """Its content. Raises DataError where that is no text."""
        try:
            return (self.content if isinstance(self.content, bytes) else self.content.read_bytes()).decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"push: {self.name} is no text in UTF-8 ({error}); save the model again") from error


def parts_of(folder: Path) -> list[Part]:
    """The files of a model's folder, by name; nothing is sent, and none is opened by what may run its code.

    Raises:
        DataError: files that are no part of a model, pickles, links, or no weights at all; each is named.
    """
    found = sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    wrong = [f"{path.relative_to(folder)} ({why})" for path in found if (why := _objection(path))]
    if wrong:
        more = f" and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        raise DataError(
            f"push: {folder} holds what is no part of a model: {', '.join(wrong[:8])}{more}; move it elsewhere, and push again"
        )
    if not any(path.suffix in (".safetensors", ".onnx") for path in found):
        raise DataError(
            f"push: {folder} holds no weights (*.safetensors, *.onnx); give a folder such as runs/demo/best"
        )
    return [Part(path.relative_to(folder).as_posix(), path) for path in found]


def chosen_folder(source: str) -> Path:
    """The folder of the model itself: a training's best/, or the folder as it is.

    Raises:
        DataError: there is none.
    """
    folder = existing(source, "push")
    if not folder.is_dir():
        raise DataError(f"push: {source} is a file; give the folder of a model, such as runs/demo")
    return (
        existing(folder / "best", f"push: {source} has no best model yet") if (folder / MANIFEST).is_file() else folder
    )


def publication(folder: Path, name: str) -> list[Part]:
    """The files of a model as they are to be published.

    A card that nobody edited is written for the repository's name, with the picture of the link where matplotlib is here.

    Args:
        folder: of the model.
        name: of the repository.

    Raises:
        DataError: what ``parts_of`` refuses, or no card, and no training beside the model to write one from.
    """
    parts = {part.name: part for part in parts_of(folder)}
    manifest = training_of(folder)
    if own_card(folder) is None and manifest is not None:
        picture = drawn(manifest.get("loss", ""))
        if picture is not None:
            parts[PICTURE] = Part(PICTURE, picture)
        parts[CARD] = Part(CARD, sealed(card_of(folder, manifest, name, picture is not None)).encode())
    if CARD not in parts:
        raise DataError(
            f"push: {folder} holds no card ({CARD}), and no training of ltr stands beside it to write one from; write one: what "
            "the model is for, what it was trained on, its licence"
        )
    return [parts[name] for name in sorted(parts)]


def drawn(loss: str) -> bytes | None:
    """The picture of a loss's link; None, and a word on it, where there is no link or no matplotlib."""
    link = link_of(loss)
    if link is None:
        return None
    with tempfile.TemporaryDirectory() as place:
        try:
            draw(link, Path(place, PICTURE))
        except MissingExtra as error:
            log.info("push: the card has no picture of the link: %s", error)
            return None
        return Path(place, PICTURE).read_bytes()


def _objection(path: Path) -> str | None:
    """What speaks against sending a file; None for one that may go."""
    if path.is_symlink():
        return "a link"
    with open(path, "rb") as file:
        start = file.read(9)
    if start.startswith(PICKLES):
        return "a pickle or archive, which runs code when it is opened"
    if path.name.startswith(".") or not any(fnmatch(path.name, kind) for kind in KINDS):
        return "neither weights, tokenizer, configuration nor card"
    weights = path.suffix == ".safetensors"
    if weights and (start[8:] != b"{" or int.from_bytes(start[:8], "little") > path.stat().st_size):
        return "not the form of safetensors"
    if path.suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except ValueError:
            return "not JSON"
    return None


def private_places(parts: Iterable[Part], places: Iterable[str]) -> list[str]:
    """``FILE: PLACE`` for each text that names a place of this machine: the user's home, or any that is there.

    Args:
        parts: what is to be sent.
        places: folders by their full paths.
    """
    named = [place for place in places if len(place) > 1]
    found = []
    for part in parts:
        if part.name.endswith(TEXTS) and part.size < 2**20:
            text = part.text()
            there = [place for place in named if place in text]
            others = [one for one in dict.fromkeys(_PLACE.findall(text)) if os.path.exists(one.partition("[")[0])]
            there += [one for one in others if not one.startswith(tuple(there))]
            found += [f"{part.name}: {place}" for place in there]
    return found


def check_name(name: str) -> None:
    """Raise ConfigError unless a repository's name is ``user/name`` in the hub's letters."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ConfigError(f"push: --to {name}: {error}; give user/name") from error
    if "/" not in name:
        raise ConfigError(f"push: --to {name}: whose is it? Give user/name, such as me/{name}")


def upload(parts: Iterable[Part], name: str, public: bool, message: str) -> str:
    """Make the repository where it is not there, and commit all files at once; the commit's address.

    The token is the one that huggingface_hub finds: ``HF_TOKEN``, or what ``hf auth login`` stored.

    Args:
        parts: from ``parts_of``.
        name: of the repository, ``user/name``.
        public: whether all may read a repository that is made, and whether one that all read may be written to.
        message: of the commit.

    Raises:
        ConfigError: no token; or a repository that all may read, where ``public`` was not asked for.
        DataError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, constants, get_token
    from huggingface_hub.errors import HfHubHTTPError

    if constants.HF_HUB_OFFLINE:
        raise DataError("push: HF_HUB_OFFLINE is set, which forbids every upload; unset it, or take --dry-run")
    if not get_token():
        raise ConfigError("push: there is no token; run hf auth login, or set HF_TOKEN to one that may write")
    api = HfApi(library_name="ltr")
    try:
        api.create_repo(name, private=not public, exist_ok=True)
        if not public and not api.repo_info(name).private:
            raise ConfigError(
                f"push: all may read {name}; give --public if they may read this model, too, or make the repository private"
            )
        files = [
            CommitOperationAdd(p.name, p.content if isinstance(p.content, bytes) else str(p.content)) for p in parts
        ]
        return api.create_commit(name, files, commit_message=message).commit_url
    except HfHubHTTPError as error:
        raise DataError(
            f"push: {api.endpoint} refused: {_reason(error)}; {_advice(error.response.status_code, name)}"
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(
            f"push: sending to {api.endpoint} failed: {_reason(error)}; try again: what is there is skipped"
        ) from error


def _reason(error: BaseException) -> str:
    """What an error says, and what was behind it, in a line."""
    said = " ".join(str(error).split())[:300] or type(error).__name__
    return said if error.__cause__ is None else f"{said.rstrip('.')}: {' '.join(str(error.__cause__).split())[:200]}"


def _advice(status: int, name: str) -> str:
    if status in (401, 403):
        return f"the token must be valid and may write to {name.partition('/')[0]}'s repositories: hf auth whoami tells whose it is"
    if status in (400, 422):
        return "look at the head of README.md, between its lines of ---"
    return "try again later"


def home_places() -> list[str]:
    """Folders whose names tell about this machine and its user: the home folder and the current one, also where links lead."""
    places = [str(place) for place in (Path.home(), Path.cwd())]
    return list(dict.fromkeys([*places, *map(os.path.realpath, places)]))
