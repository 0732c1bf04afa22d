"""Secrets, replaced before anything is written. Core.

A few secrets are looked for one by one, because `str.find` passes over text at memory speed. From a dozen on that costs
more than one pass of a regular expression, if that expression is a trie: an alternation of the secrets themselves is
tried from its first to its last at every character. What is longer wins where several fit.
"""

import re
from collections.abc import Iterable

import msgspec

MASK = "***"
SHORTEST = 3
"""What is shorter is in every line by chance, and masking it would make the log unreadable and hide nothing."""
ONE_BY_ONE = 12

Trie = dict[str, "Trie"]
_END = ""


class Masker:
    """The secrets of one attempt, which grow while it runs."""

    def __init__(self, secrets: Iterable[object] = ()) -> None:
        self.longest = 0
        self._secrets: set[str] = set()
        self._ordered: list[str] = []
        self._pattern: re.Pattern[str] | None = None
        for secret in secrets:
            self.add(secret)

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
        if self._pattern is not None:
            return self._pattern.sub(MASK, text)
        for secret in self._ordered:
            if secret in text:
                text = text.replace(secret, MASK)
        return text

    def mask_value(self, value: object) -> object:
        """Replace every secret in a value of JSON's: in texts, in keys, and a number that is one."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, list):
            return [self.mask_value(item) for item in value]
        if isinstance(value, dict):
            return {self.mask(key): self.mask_value(item) for key, item in value.items()}
        if isinstance(value, int | float) and not isinstance(value, bool):
            return MASK if str(value) in self._secrets else value
        return value

    def _add_text(self, text: str) -> None:
        found = {part for part in (text, text.strip(), *text.splitlines()) if len(part.strip()) >= SHORTEST}
        # As it looks inside JSON, which is how it is printed as often as not.
        found |= {msgspec.json.encode(part).decode()[1:-1] for part in found}
        found |= {part.encode("ascii", "backslashreplace").decode() for part in found}
        if found <= self._secrets:
            return
        self._secrets |= found
        self._ordered = sorted(self._secrets, key=lambda secret: (-len(secret), secret))
        self.longest = len(self._ordered[0].encode(errors="replace"))
        self._pattern = re.compile(_expression(_trie(self._ordered))) if len(self._ordered) > ONE_BY_ONE else None


def _trie(words: Iterable[str]) -> Trie:
    root: Trie = {}
    for word in words:
        node = root
        for letter in word:
            node = node.setdefault(letter, {})
        node[_END] = {}
    return root


def _expression(root: Trie) -> str:
    """Write the trie as a regular expression. A run without a fork is written as it is, so it nests only at forks."""
    # Post-order over an explicit stack: a secret is as long as it likes, and recursion is not.
    done: dict[int, str] = {}
    ahead: list[tuple[Trie, bool]] = [(root, False)]
    while ahead:
        node, seen = ahead.pop()
        if not seen:
            ahead.append((node, True))
            ahead.extend((child, False) for letter, child in node.items() if letter != _END)
            continue
        arms = [re.escape(letter) + done.pop(id(child)) for letter, child in node.items() if letter != _END]
        if not arms:
            done[id(node)] = ""
        elif len(arms) == 1 and _END not in node:
            done[id(node)] = arms[0]
        else:
            done[id(node)] = f"(?:{'|'.join(arms)})" + ("?" if _END in node else "")
    return done[id(root)]
