"""Secrets, replaced before anything is written. Core.

They are looked for one by one, the longest first, so that a secret which contains another is gone before the other is
found in it. Each is one `str.find` over the text, at about 0.2 ns a character (measured): a hundred secrets cost a line
of ordinary length about a microsecond. A trie as one regular expression is faster from several hundred secrets on, but
compiling it takes 0.1 ms for each, on the loop, again with each that is added; who reads (`logs`) takes smaller bites
where masking is slow instead.
"""

import json
from bisect import insort
from collections.abc import Collection, Iterable

import msgspec

MASK = "***"
SHORTEST = 3
"""What is shorter is in every line by chance, and masking it would make the log unreadable and hide nothing."""


class Masker:
    """The secrets of one attempt, which grow while it runs."""

    def __init__(self, secrets: Iterable[object] = ()) -> None:
        self._secrets: set[str] = set()
        self._longest_first: list[str] = []
        for secret in secrets:
            self.add(secret)

    @property
    def secrets(self) -> Collection[str]:
        """Give them all."""
        return self._secrets

    @property
    def longest(self) -> int:
        """The bytes of the longest secret: who cuts a text holds so much more of it, and masks before cutting."""
        return len(self._longest_first[0].encode(errors="replace")) if self._longest_first else 0

    def add(self, secret: object) -> None:
        """Mask all texts in a value from now on; and each line of them, because logs are lines.

        Numbers are not secrets: a connection's port is in its record, and in half of all lines by chance.
        """
        if isinstance(secret, dict):
            for value in secret.values():
                self.add(value)
        elif isinstance(secret, list | tuple | set | frozenset):
            for value in secret:
                self.add(value)
        elif isinstance(secret, str):
            self._add_text(secret)
        elif isinstance(secret, bytes):
            self._add_text(secret.decode(errors="replace"))

    def mask(self, text: str) -> str:
        """Replace every secret."""
        for secret in self._longest_first:
            if secret in text:
                text = text.replace(secret, MASK)
        return text

    def mask_value(self, value: object) -> object:
        """Replace every secret in a value of JSON's: in texts, in keys, and a number that is one."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, list | tuple):
            return [self.mask_value(item) for item in value]
        if isinstance(value, dict):
            return {self.mask(key): self.mask_value(item) for key, item in value.items()}
        if isinstance(value, int | float) and not isinstance(value, bool):
            return MASK if str(value) in self._secrets else value
        return value

    def _add_text(self, text: str) -> None:
        plain = {part for part in (text, text.strip(), *text.splitlines()) if len(part.strip()) >= SHORTEST}
        # As it looks inside JSON, of both habits, which is how it is printed as often as not.
        inside_json = {msgspec.json.encode(_sound(part)).decode()[1:-1] for part in plain}
        inside_json |= {json.dumps(part)[1:-1] for part in plain}
        for part in (plain | inside_json) - self._secrets:
            self._secrets.add(part)
            insort(self._longest_first, part, key=lambda secret: -len(secret))


def _sound(text: str) -> str:
    """Replace lone surrogates, which JSON has no way to write."""
    return text.encode("utf-8", "replace").decode()
