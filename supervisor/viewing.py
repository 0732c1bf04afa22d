"""The live view of `worker demo`: what has happened, what runs at this moment, and which claims were true so far.

It looks at the server itself, as a person would, so that one sees the tasks while the tour waits for them; and that the
server is away when it is.
"""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec
from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from protocol.http.people import InstancePage, InstanceSummary
from supervisor.touring import Seen

EVERY_S = 0.3
SHOWN = 12
COLOURS = {"success": "green", "failed": "red", "running": "cyan", "skipped": "dim"}


class View:
    """The view of one folder's programs, from entering to leaving."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._began = time.monotonic()
        self._lines: list[str] = []
        self._seen: Sequence[Seen] = ()
        self._rows: list[InstanceSummary] = []
        self._away = False
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look_on, daemon=True)
        self._live = Live(get_renderable=self._drawn, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._watch.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._watch.join()
        self._live.stop()

    def tell(self, text: str) -> None:
        """Add a line."""
        self._lines.append(f"{time.monotonic() - self._began:5.1f} s  {text}")

    def show(self, seen: Sequence[Seen]) -> None:
        """Take what was seen so far."""
        self._seen = [*seen]

    def _look_on(self) -> None:
        while not self._over.wait(EVERY_S):
            try:
                self._rows, self._away = self._look(), False
            except (OSError, httpx.HTTPError, msgspec.MsgspecError):
                self._away = True

    def _look(self) -> list[InstanceSummary]:
        url, token = ((self._folder / name).read_text().strip() for name in ("server-url", "user-token"))
        headers = {"authorization": f"Bearer {token}"}
        answer = httpx.get(f"{url}/api/task-instances?limit={SHOWN}", headers=headers, timeout=2.0, trust_env=False)
        return msgspec.json.decode(answer.content, type=InstancePage).instances

    def _drawn(self) -> Any:  # noqa: ANN401 - what rich draws
        happened = [Text(line, style="dim") for line in self._lines[-6:-1]]
        now = [Spinner("dots", Text(self._lines[-1]))] if self._lines else []
        return Group(*happened, *now, Text(), self._tasks(), Text(), *self._claims())

    def _tasks(self) -> Any:  # noqa: ANN401 - as above
        if self._away and self._rows:
            return Text("the server does not answer", style="bold red")
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("TASK", "STATE", "TRY", "WORKER", "PROGRESS"):
            table.add_column(heading)
        for row in self._rows:
            index = f"[{row.map_index}]" if row.map_index >= 0 else ""
            progress = "" if row.checkpoint_progress is None else f"{row.checkpoint_progress:g}"
            state = Text(row.state, style=COLOURS.get(row.state, "yellow"))
            name = Text(f"{row.dag_id}/{row.task_id}{index}")
            table.add_row(name, state, str(row.try_number), row.worker or "", progress)
        return table

    def _claims(self) -> list[Text]:
        marks = {True: ("true   ", "green"), False: ("FALSE  ", "bold red")}
        return [Text.assemble(marks[row.true], row.claim) for row in self._seen]
