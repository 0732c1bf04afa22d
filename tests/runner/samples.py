"""Greetings to run with."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from protocol.messages.runs import DagRun, DagRunState, DagRunType
from protocol.messages.startup import BundleInfo, StartupDetails, TaskInstance, TIRunContext

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TI = UUID("01890a5d-ac96-774b-bcce-b302099a8057")

RUN = DagRun("flow", "run", NOW, NOW, NOW, NOW, NOW, None, DagRunType.MANUAL, DagRunState.RUNNING, [], None)
INSTANCE = TaskInstance(TI, "task", "flow", "run", 1, UUID(int=1))
CONTEXT = TIRunContext(RUN, max_tries=0)


def greeting(path: str = "flow.py", task_id: str = "task", **context: Any) -> StartupDetails:
    return StartupDetails(
        replace(INSTANCE, task_id=task_id), path, BundleInfo("local"), NOW, replace(CONTEXT, **context), ""
    )
