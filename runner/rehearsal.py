"""An attempt that nobody asked for, played in the keeper before it forks its first child.

Python writes while it runs: a function's first calls count themselves and then rewrite its instructions, types and
attributes fill caches as they are looked up, the first greeting makes what reads greetings. In a forked child each
such write is a page copied, and each child would do it anew. So the keeper plays an attempt to its end, often enough
that all of it is settled, with a flow of ours, over a channel of which it holds both ends. What is left of it is
warmth; the module of the flow, and the place where it was looked for, are forgotten.
"""

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from protocol.frames import encode_frame
from protocol.messages.runs import DagRun, DagRunState, DagRunType
from protocol.messages.startup import BundleInfo, StartupDetails, TaskInstance, TIRunContext
from protocol.session import GREETING_ID, RunnerSession
from runner.authoring import find_task
from runner.client import Client
from runner.context import make_current
from runner.logs import Channel, Log

TIMES = 10
"""Python 3.11 looks at a function's instructions again after its eighth call. Ten take 5 ms; more change nothing."""
Play = Callable[..., int]
"""`runner.child.play`: above this module, because it is what a child does and this is what comes before."""
FLOW = Path(__file__).with_name("rehearsed.py")


def rehearse(play: Play) -> None:
    """Play an attempt."""
    import socket  # noqa: PLC0415 - whoever rehearses is a keeper and has it; a child that was executed does without

    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    ours, theirs = socket.socketpair()
    modules, places = {*sys.modules}, [*sys.path]
    client = Client(theirs.detach(), session=RunnerSession())

    def find(*names: str) -> Callable[..., Any]:
        # The greeting was heard: that the first question, the outcome, is taken can be said before it is asked.
        ours.sendall(encode_frame((GREETING_ID + 1, None, None)))
        return find_task(*names)

    try:
        ours.sendall(encode_frame((GREETING_ID, _greeting(), None)))
        play(client, Log(Channel(nowhere)), find, stoppable=False)
    finally:
        make_current(None)
        client.forked()
        ours.close()
        os.close(nowhere)
        for name in {*sys.modules} - modules:
            del sys.modules[name]
        sys.path[:] = places


def _greeting() -> StartupDetails:
    moment, nobody = datetime(2000, 1, 1, tzinfo=UTC), UUID(int=0)
    run = DagRun(
        dag_id="rehearsed",
        run_id="rehearsal",
        logical_date=moment,
        data_interval_start=moment,
        data_interval_end=moment,
        run_after=moment,
        start_date=moment,
        end_date=None,
        run_type=DagRunType.MANUAL,
        state=DagRunState.RUNNING,
        consumed_asset_events=[],
        partition_key=None,
    )
    instance = TaskInstance(nobody, "nothing", run.dag_id, run.run_id, 1, nobody)
    return StartupDetails(
        instance, str(FLOW).lstrip("/"), BundleInfo("local"), moment, TIRunContext(run, max_tries=0), ""
    )
