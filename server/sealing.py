"""Values that are kept encrypted: variables and connections, by keys that the database never has.

Fernet (AES-128 in CBC, with HMAC-SHA256), as Airflow does it, and with several keys: the first seals, all open. So a
key is replaced by naming the new one before the old one; a server that starts seals anew what is plain or under an
older key, and then the old one may go. Without keys values are plain, and what was sealed is not opened.

A row says by itself whether it is sealed, so that no value can be taken for one that is.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from server.faults import Refused

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

MAKE_ONE = "`python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'` makes one"


class BadKey(ValueError):
    """A key that is none."""


class Seal:
    """The keys of a server."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._fernets = [_fernet(number, key) for number, key in enumerate(keys, 1)]

    def close(self, text: str | None) -> tuple[str | None, int]:
        """Give a text as it is to be kept, and whether that is sealed."""
        if text is None or not self._fernets:
            return text, 0
        return self._fernets[0].encrypt(text.encode()).decode(), 1

    def open(self, text: str | None, sealed: int, what: str) -> str | None:
        """Give a text that was kept. Refused, when none of the keys opens it."""
        if text is None or not sealed:
            return text
        opened = self._try(text)
        if opened is None:
            which = "none of the keys in TASKHAND_KEYS opens it" if self._fernets else "TASKHAND_KEYS names no key"
            raise Refused(
                "encrypted", f"{what} is encrypted, and {which}: start the server with the one it was kept with"
            )
        return opened

    def opens(self, text: str) -> bool:
        """Whether a sealed text can be opened."""
        return self._try(text) is not None

    def is_current(self, text: str | None, sealed: int) -> bool:
        """Whether a row is as it would be kept today."""
        if text is None or not self._fernets:
            return True
        return bool(sealed) and _opened(self._fernets[0], text) is not None

    def _try(self, text: str) -> str | None:
        found = (_opened(fernet, text) for fernet in self._fernets)
        return next((opened for opened in found if opened is not None), None)


def _opened(fernet: "Fernet", text: str) -> str | None:
    from cryptography.fernet import InvalidToken  # noqa: PLC0415 - as below

    try:
        return fernet.decrypt(text).decode()
    except InvalidToken:
        return None


def _fernet(number: int, key: str) -> "Fernet":
    from cryptography.fernet import Fernet  # noqa: PLC0415 - 6 ms, for those who have keys

    try:
        return Fernet(key)
    except ValueError:
        message = f"key {number} of TASKHAND_KEYS is none: it has to be 32 bytes in URL-safe base64; {MAKE_ONE}"
        raise BadKey(message) from None
