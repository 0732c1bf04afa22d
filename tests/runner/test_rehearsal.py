import sys
from pathlib import Path

from runner import rehearsal
from runner.child import play
from runner.context import _current


def test_a_rehearsal_leaves_nothing_behind() -> None:
    rehearsal.rehearse(play)
    before = {*sys.modules}, [*sys.path], len([*Path("/proc/self/fd").iterdir()])
    rehearsal.rehearse(play)
    assert ({*sys.modules}, [*sys.path], len([*Path("/proc/self/fd").iterdir()])) == before
    assert _current is None
