"""Entries for Python children: what the tests' keepers call in place of the runner's."""

import os


def main(frames: int | None, logs: int | None) -> int:
    """Do what TASKHAND_ACT says, which is Python."""
    act = os.environ.get("TASKHAND_ACT", "0")
    scope: dict[str, object] = {"frames": frames, "logs": logs, "code": 0}
    exec(act, scope)  # noqa: S102 - the test says what its child does
    code = scope["code"]
    assert isinstance(code, int)
    return code
