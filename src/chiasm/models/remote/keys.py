"""Where a server is and the key to it: keys are never shown, copied to a file or pickled."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from chiasm.core.errors import InvalidInput

#: names of this machine
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Key:
    """An API key that is never shown, copied to a file or pickled.

    Args:
        secret: the key.

    Raises:
        InvalidInput: it cannot stand in a header. The message does not hold it.
    """

    def __init__(self, secret: str) -> None:
        """Check the characters."""
        if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
            raise InvalidInput("The API key is empty or holds spaces or unprintable characters; check where it is set.")
        self._secret = secret

    def __repr__(self) -> str:
        """Nothing of the key."""
        return "Key(***)"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        raise TypeError("An API key is never pickled.")

    def header(self) -> str:
        """The value of the Authorization header."""
        return f"Bearer {self._secret}"

    def hide(self, thing: Any) -> Any:
        """Whatever a server said, without the key: some repeat it in their errors."""
        if isinstance(thing, str):
            return thing.replace(self._secret, "***")
        if isinstance(thing, list):
            return [self.hide(item) for item in thing]
        if isinstance(thing, dict):
            return {self.hide(name): self.hide(item) for name, item in thing.items()}
        return thing


def find_key(host: str, key_env: str | None, key_file: str | Path | None) -> Key | None:
    """The key for a server, from the environment or a file that nobody else may read.

    ``OPENAI_API_KEY`` goes to api.openai.com alone; any other server gets ``CHIASM_API_KEY``, unless another variable
    or file is named.

    Raises:
        InvalidInput: a variable that is not set, or a file that others may read.
    """
    if key_file is not None:
        path = Path(key_file).expanduser()
        try:
            mode = path.stat().st_mode
            if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise InvalidInput(f"Others may read the key file {str(path)!r}; run: chmod 600 {path}")
            return Key(path.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"The key file {str(path)!r} cannot be read: {type(error).__name__}.") from None
    name = key_env or ("OPENAI_API_KEY" if host == "api.openai.com" else "CHIASM_API_KEY")
    secret = os.environ.get(name, "").strip()
    if not secret and (key_env or host == "api.openai.com"):
        raise InvalidInput(
            f"The environment variable {name} holds no API key; set it, or name a file by key_file=PATH "
            f"(--remote key_file=PATH)."
        )
    return Key(secret) if secret else None


def check_url(url: str, *, allow_http: bool) -> str:
    """A base URL without its last slash.

    Raises:
        InvalidInput: another scheme than https (http to this machine, or where it is allowed), a user, a query.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput("The base URL must begin with https:// (or http:// for this machine) and name a host.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InvalidInput(
            "The base URL holds a user, a query or a fragment; keys come from the environment or a file."
        )
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not allow_http:
        raise InvalidInput(
            f"http:// to {parts.hostname!r} would send pictures and key readable by anybody on the way; use https://, "
            f"or say allow_http=True (--remote allow_http=true)."
        )
    return url.rstrip("/")
