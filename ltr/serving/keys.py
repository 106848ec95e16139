"""Bearer keys: who may ask."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from ltr.errors import ConfigError
from ltr.io.files import existing

#: keys of the environment, apart by spaces or commas
VARIABLE = "LTR_API_KEYS"


class Keys:
    """The keys that are taken; with none of them everybody may ask.

    Only their digests are held, and all of them are compared in constant time.

    Args:
        file: a key a line; empty lines and those that begin with # are passed over. None: the environment variable
            ``LTR_API_KEYS``, if it is set.

    Raises:
        ConfigError: a file that cannot be read, or holds no key.
    """

    def __init__(self, file: str | os.PathLike | None = None):
        self._file = file
        self._digests: tuple[bytes, ...] = ()
        self.reload()

    def reload(self) -> None:
        """Read them anew. Raises ConfigError, and goes on with those from before, where that is not possible."""
        if self._file is not None:
            lines = existing(Path(self._file), "--keys").read_text(encoding="utf-8").splitlines()
            keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
            if not keys:
                raise ConfigError(f"--keys: {self._file} holds no key; write one a line, or leave --keys out")
        else:
            keys = os.environ.get(VARIABLE, "").replace(",", " ").split()
        self._digests = tuple(hashlib.sha256(key.encode()).digest() for key in keys)

    @property
    def needed(self) -> bool:
        """Whether anybody must show one."""
        return bool(self._digests)

    def allow(self, authorization: str | None) -> bool:
        """Whether a header ``Authorization: Bearer KEY`` holds one of them."""
        digests = self._digests
        if not digests:
            return True
        scheme, _, key = (authorization or "").partition(" ")
        given = hashlib.sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
        found = [hmac.compare_digest(given, one) for one in digests]  # all of them, whichever fits
        return scheme.lower() == "bearer" and any(found)
