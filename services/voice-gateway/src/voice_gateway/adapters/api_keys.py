"""API keys from a file of lines `principal:key`.

Only digests are kept. A key is compared with every one of them in constant time, so that neither the order of the file
nor a key that is nearly right shows in how long a refusal takes.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from voice_gateway.adapters.authentication import MAX_PRINCIPAL_CHARACTERS, NotLetIn
from voice_gateway.adapters.followed_files import FileUnusable, FollowedFiles

MAX_KEYS = 1_000
"""A call is compared with each: 0.4 ms for so many."""

MIN_KEY_CHARACTERS = 16
"""128 bits where a key is random hexadecimal digits are 32; 16 is what NIST SP 800-63B-4 asks of secrets at least."""

_PRINCIPAL = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._@/-]{{0,{MAX_PRINCIPAL_CHARACTERS - 1}}}")
_KEY = re.compile(r"[!-~]+")


class ApiKeys:
    """Follows the file. Raises FileUnusable when made of one that can't be used."""

    takes_api_key = True

    def __init__(self, file: Path, *, on_change: Callable[[str], None] = lambda _result: None) -> None:
        self.files = FollowedFiles("api_keys", (file,), lambda contents: _keys(contents, file), on_change=on_change)

    def principal(self, credential: str) -> str:
        """Whose key it is. Raises NotLetIn."""
        digest = _digest(credential)
        found = ""
        for known, principal in self.files.value:
            if hmac.compare_digest(digest, known):
                found = principal
        if not found:
            raise NotLetIn("unknown_key")
        return found


def _keys(contents: Sequence[bytes], file: Path) -> tuple[tuple[bytes, str], ...]:
    """Digests and principals. A principal may have several keys, for the time of a change."""
    try:
        lines = contents[0].decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FileUnusable(f"{file} is not UTF-8.") from error
    keys: dict[bytes, str] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        principal, colon, key = (part.strip() for part in text.partition(":"))
        if not colon or not _PRINCIPAL.fullmatch(principal):
            raise FileUnusable(f"Line {number} of {file} is not principal:key, with a name of letters and digits.")
        if len(key) < MIN_KEY_CHARACTERS or not _KEY.fullmatch(key):
            raise FileUnusable(
                f"The key in line {number} of {file} is not usable; allowed are {MIN_KEY_CHARACTERS} or more printable "
                "characters without spaces."
            )
        if keys.setdefault(_digest(key), principal) != principal:
            raise FileUnusable(f"The key in line {number} of {file} is there already, for another principal.")
    if not keys:
        raise FileUnusable(f"{file} holds no key; allowed is one principal:key to a line.")
    if len(keys) > MAX_KEYS:
        raise FileUnusable(f"{file} holds {len(keys)} keys; allowed are {MAX_KEYS}.")
    return tuple(keys.items())


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
