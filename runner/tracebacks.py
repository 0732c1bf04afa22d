"""An exception in the form the log channel has for it: a list, from the one that was raised to what it came from.

The frames are the task's own. Those of ours, through which the task was called, tell its author nothing and are left
out at the top of the stack.
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Any

LONGEST_TEXT = 16 * 1024
MOST_FRAMES = 50
MOST_LINKS = 20
MOST_IN_GROUP = 20
DEEPEST_GROUP = 5
_OURS = __file__.rpartition("/")[0] + "/"


def text_of(value: object) -> str:
    """Give a value's text, bounded, in characters that can be encoded. The task's own `__str__` may do anything."""
    try:
        return str(value)[:LONGEST_TEXT].encode("utf-8", "backslashreplace").decode()
    except Exception:  # noqa: BLE001 - whatever it did, the rest of the exception is still worth telling
        return f"<{type(value).__qualname__}, which cannot be shown>"


def entries_of(error: BaseException, depth: int = 0) -> list[dict[str, Any]]:
    """Give an exception and those it came from."""
    return [_entry(link, depth, is_cause=is_cause) for link, is_cause in _chain(error)]


def _chain(error: BaseException) -> Iterator[tuple[BaseException, bool]]:
    link: BaseException | None = error
    seen: set[int] = set()
    is_cause = False
    while link is not None and id(link) not in seen and len(seen) < MOST_LINKS:
        yield link, is_cause
        seen.add(id(link))
        is_cause = link.__cause__ is not None
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _entry(error: BaseException, depth: int, *, is_cause: bool) -> dict[str, Any]:
    grouped = error.exceptions if isinstance(error, BaseExceptionGroup) and depth < DEEPEST_GROUP else ()
    return {
        "exc_type": type(error).__qualname__,
        "exc_value": text_of(error),
        "exc_notes": [text_of(note) for note in getattr(error, "__notes__", ())],
        "syntax_error": _syntax(error) if isinstance(error, SyntaxError) else None,
        "is_cause": is_cause,
        "frames": _frames(error.__traceback__),
        "is_group": isinstance(error, BaseExceptionGroup),
        "exceptions": [entries_of(each, depth + 1) for each in grouped[:MOST_IN_GROUP]],
    }


def _syntax(error: SyntaxError) -> dict[str, Any]:
    return {
        "offset": error.offset or 0,
        "filename": text_of(error.filename or "?"),
        "line": text_of(error.text or ""),
        "lineno": error.lineno or 0,
        "msg": text_of(error.msg),
    }


def _frames(trace: TracebackType | None) -> list[dict[str, Any]]:
    """Give the frames, ours at the top left out; of too many the first and the last, which are where it came from."""
    frames: list[dict[str, Any]] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        if frames or not code.co_filename.startswith(_OURS):
            frames.append({"filename": text_of(code.co_filename), "lineno": trace.tb_lineno or 0, "name": code.co_name})
        trace = trace.tb_next
    if len(frames) <= MOST_FRAMES:
        return frames
    half = MOST_FRAMES // 2
    left_out = {"filename": "", "lineno": 0, "name": f"… {len(frames) - 2 * half} frames left out …"}
    return [*frames[:half], left_out, *frames[-half:]]
