"""The meter sees who lives and who has gone, and what drivers say comes through although what they measure prints."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.contenders import OURS, started, venue
from bench.meter import cpu_s, family, pss_kib
from tests.architecture.layout import ROOT

pytestmark = pytest.mark.slow

BURN = "import time\nwhile time.process_time() < {s}: pass\n"
PARENT = f"""import subprocess, sys
living = {BURN.format(s=0.2)!r} + "import sys; sys.stdin.read()"
child = subprocess.Popen([sys.executable, "-S", "-c", living], stdin=-1)
subprocess.run([sys.executable, "-S", "-c", {BURN.format(s=0.3)!r}])
print("burnt", flush=True)
sys.stdin.read()
"""


def test_cpu_is_that_of_the_living_and_of_those_that_were_collected() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", PARENT], stdin=-1, stdout=-1) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"burnt\n"
        pids = family(parent.pid)
        assert len(pids) == 2
        assert cpu_s(pids) > 0.3
        assert pss_kib(pids) > 1000
        parent.communicate(b"")
    assert cpu_s(pids[:1]) == 0


def test_a_driver_does_what_it_is_asked_and_nothing_of_it_is_left() -> None:
    with venue() as place, started(OURS, place, 2) as running:
        cost, rate = running.noops(4)
        assert running.asleep_kib(2) > 10_000
        pids = family(running.pid)
    assert cost > 0
    assert rate > 0
    assert len(pids) >= 4
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_driver_is_heard_although_what_it_measures_prints() -> None:
    source = (
        "from bench.drivers.talk import *; voice = take_stdout(); print('noise', flush=True); serve(voice, 7, None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, input="", text=True, check=True, cwd=ROOT
    )
    assert json.loads(done.stdout) == {"pid": 7}
    assert done.stderr == "noise\n"
