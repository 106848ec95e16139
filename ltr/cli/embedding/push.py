"""``ltr push``: a trained model onto a model hub."""

from __future__ import annotations

from collections.abc import Sequence

from ltr.cli.command import run as run_command
from ltr.cli.command import talk


def push(source: str, /, *, to: str, public: bool = False, dry_run: bool = False, message: str = "") -> None:
    """Upload a trained model to a model hub, with its card and the picture of its link; private unless --public.

    Only weights, tokenizer, configuration and card go there; a folder that holds anything else is refused. The card is
    written anew for the repository's name, unless somebody edited it. The token is the one that hf auth login stored, or
    HF_TOKEN.

    Example: ltr push runs/demo --to me/demo --dry-run

    Args:
        source: folder of a training, whose best/ is taken, or of a saved model.
        to: the repository, user/name; it is made where it is not there.
        public: let everybody read it; a repository that everybody reads is written to only with this.
        dry_run: list the files and their sizes, and send nothing.
        message: of the commit (default: what was trained, by which version).
    """
    talk()
    from ltr import __version__
    from ltr.integrations.hub import check_name, chosen_folder, home_places, private_places, publication, upload

    check_name(to)
    folder = chosen_folder(source)
    parts = publication(folder, to)
    total = sum(part.size for part in parts)
    for part in parts:
        print(f"{part.size:>14,}  {part.name}")
    print(f"{total:>14,}  bytes in {len(parts)} files, for {to} ({'public' if public else 'private'})")
    for place in private_places(parts, home_places()):
        print(f"note: a place of this machine stands in {place}")
    if dry_run:
        print("nothing was sent: --dry-run")
        return
    print(
        f"uploaded: {upload(parts, to, public, message or f'{folder.name} of {folder.parent.name}, by ltr {__version__}')}"
    )


def main(argv: Sequence[str]) -> None:
    """Entry point of ``ltr push``."""
    run_command(push, argv, prog="ltr push")
