"""A key, token or certificate in a file that something else renews, such as a mounted Secret or a token that a login
helper writes.

It is read again for each connection: a call may outlive its token, and to resume it is to call again.
"""

import asyncio
import re
from pathlib import Path

from voice_clients.errors import NoCredentialError

MOST_CHARACTERS = 8_192
"""What a gateway takes of metadata."""


CERTIFICATE, PRIVATE_KEY = "CERTIFICATE", "PRIVATE KEY"
"""Kinds of PEM."""


def read_pem(path: Path, kind: str) -> bytes:
    """Read PEM of a kind. Raises NoCredentialError."""
    _check_file(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NoCredentialError(f"{path}: {error.strerror or error}.") from error
    if re.search(rb"-----BEGIN [A-Z ]*" + kind.encode() + rb"-----", data) is None:
        raise NoCredentialError(f"{path} holds no PEM {kind.lower()}.")
    return data


def is_credential(value: str) -> bool:
    """Whether gRPC can carry it as metadata: printable ASCII without spaces around it."""
    return value.strip() == value and value.isascii() and value.isprintable()


def read_credential(path: Path) -> str:
    """What the file holds, without the spaces and line ends around it. Raises NoCredentialError, which says nothing of
    what is in it.
    """
    _check_file(path)
    try:
        with path.open(encoding="ascii") as file:
            value = file.read(MOST_CHARACTERS + 1).strip()
    except OSError as error:
        raise NoCredentialError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise NoCredentialError(f"{path} holds no key or token: it is not ASCII.") from error
    if not value or len(value) > MOST_CHARACTERS or not is_credential(value):
        raise NoCredentialError(f"{path} holds no key or token: one line of printable ASCII is needed.")
    return value


def _check_file(path: Path) -> None:
    """A pipe, such as one of `<(command)`, would be empty the second time."""
    if path.exists() and not path.is_file():
        raise NoCredentialError(f"{path} is no regular file: it is read again for each connection.")


async def credential(given: str, file: Path | None) -> str:
    """`given`, or what the file holds now. Raises NoCredentialError."""
    return given if file is None else await asyncio.to_thread(read_credential, file)
