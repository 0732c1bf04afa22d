"""What has to hold, whatever happens: looked at with each step that could break it, and once more at the end.

The watcher sees more than anybody in the history does: every process, every request, every line of the server's
timeline as it is committed. What it finds is kept and not raised, because our code catches what is raised in it.
"""

import base64
import math
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from protocol.messages.checkpoints import CheckpointResult, SaveCheckpoint
from protocol.messages.shape import Message
from protocol.states import FINISHED, TaskInstanceState
from protocol.vocabulary import TERMINAL
from tests.simulation.world import Party, World

if TYPE_CHECKING:
    from tests.simulation.children import Process
    from tests.simulation.database import Storage
    from tests.simulation.plan import Plan
    from tests.simulation.serving import Request

TIMEOUT_S = 30.0
"""How long a task may take, by its author's word."""
ANSWERED_WITHIN_S = 30.0
QUIET_S = 17.0
"""How long after the last fault a lease may still end because of it: a lease, and what a pulse takes to notice."""
LISTENS_S = 9.5
"""How long a server that was away takes nobody for lost: a lease, less what its clock and its disk take."""
DELIVERED_S = 8.0
"""How long after the last fault all that is owed has been told: the longest pause between two tries, and some."""
REPLACED_S = 8.0
"""How long a child may run on after the last fault when another has taken its place: a heartbeat and a grace."""
TELLS = "told_"
INTERRUPTED = frozenset({"told_reschedule", "told_checkpointed", "told_interrupted"})
ACKNOWLEDGED = b'"server_terminated"'
"""No outcome: the worker says that it has stopped what the server gave up."""
SPENDS = frozenset({"told_retry", "lost_retry"})
BY_HAND = frozenset({"clear", "clear_lingering", "kill"})
PROOFS = {"told_success": ("success", 0), "told_skipped": ("skipped", 99)}
"""What a process that speaks has to have said, and one that does not has to have exited with."""


class Watch:
    """Of one history."""

    def __init__(self, world: World, storage: "Storage", plan: "Plan") -> None:
        self.found: list[str] = []
        """What is wrong."""
        self.injected: Counter[str] = Counter()
        """What went wrong, by its kind."""
        self.checked: Counter[str] = Counter()
        """How often it was looked whether something holds."""
        self.disturbed: Callable[[], bool] = bool
        """Whether somebody who is needed is away just now."""
        self.server_since = -math.inf
        """Since when the server is back that was away."""
        self._last_fault = -math.inf
        self.processes: dict[str, list[Process]] = defaultdict(list)
        """Those that began to work, by attempt."""
        self.world = world
        self._storage = storage
        self._plan = plan
        self._events = 0
        self._running: dict[str, set[Process]] = defaultdict(set)
        self._open: dict[str, bool] = {}
        self._questions: dict[tuple[Process, int], float] = {}
        self._bodies: dict[tuple[str, int], bytes] = {}
        self._saved: dict[str, int] = defaultdict(int)
        self._tried: dict[str, set[int]] = defaultdict(set)
        self._names: dict[str, str] = {}
        self._lost: dict[str, float] = {}
        """Attempts that the server gave up, and when."""
        self._cleared: Counter[str] = Counter()
        self._dropped: set[str] = set()
        """Attempts that were cleared, with all that they had saved."""

    def wrong(self, what: str) -> None:
        """Note that something does not hold."""
        self.world.nature.tell(f"WRONG: {what}")
        self.found.append(what)

    def faulty(self) -> None:
        """Note that something goes wrong now, as it may."""
        self._last_fault = self.world.now

    @property
    def last_fault(self) -> float:
        """When something went wrong last, or was."""
        if self.disturbed():
            self.faulty()
        return self._last_fault

    # --- names --------------------------------------------------------------------------------------------------------

    def task_of(self, attempt: str) -> str:
        """Say which task an attempt is of."""
        found = self._names.get(attempt)
        if found is None:
            sql = (
                "SELECT task_id FROM instances WHERE id = ? UNION SELECT i.task_id FROM attempts a "
                "JOIN instances i ON i.key = a.instance_key WHERE a.id = ?"
            )
            found = self._names[attempt] = str(self._storage.rows(sql, attempt, attempt)[0][0])
        return found

    def name_of(self, attempt: str) -> str:
        """Name the next process of an attempt."""
        return f"{self.task_of(attempt)} {attempt[-4:]}"

    # --- processes ----------------------------------------------------------------------------------------------------

    def begins(self, process: "Process") -> None:
        """A child begins to work: nobody else may be at the same task."""
        task = self.task_of(process.attempt)
        process.began = self.world.now
        self.processes[process.attempt].append(process)
        self.checked["one process at a task"] += 1
        others = [each for each in self._running[task] if each.alive and not self._is_over(each, process)]
        if others and self._plan.outage[task] != "keep":
            self.wrong(f"{process.name} begins while {others[0].name} still runs")
        self._running[task].add(process)

    def _is_over(self, process: "Process", successor: "Process") -> bool:
        """Whether its last word was believed; or it has slipped its leash, and another machine cannot know of it."""
        away = process.abandoned and process.manner.slips and process.home is not successor.home
        return away or process.heard or (bool(process.said) and self._knows(process.attempt, process.said))

    def ends(self, process: "Process") -> None:
        """A child is gone; what it had asked is nobody's question any more."""
        self._running[self.task_of(process.attempt)].discard(process)
        self._questions = {key: asked for key, asked in self._questions.items() if key[0] is not process}

    # --- questions and answers ----------------------------------------------------------------------------------------

    def asks(self, process: "Process", number: int, message: Message) -> None:
        """A child asks."""
        self._questions[process, number] = self.world.now
        if isinstance(message, SaveCheckpoint) or getattr(message, "data", None) is not None:
            self._tried[self.task_of(process.attempt)].add(_step(getattr(message, "data", None)))
        if type(message) in TERMINAL:
            process.said = str(getattr(message, "state", ""))

    def answered(self, process: "Process", number: int) -> None:
        """A child got its answer."""
        self._questions.pop((process, number), None)

    def acknowledged(self, process: "Process", message: Message | None) -> None:
        """A child was told that its word is taken: then the server has it."""
        state = str(getattr(message, "state", ""))
        process.tell(f"hears that {state} is taken")
        process.heard = True
        self.checked["an acknowledged word is the server's"] += 1
        if not self._knows(process.attempt, state):
            self.wrong(f"{process.name} was told that {state} is taken, and the server does not have it")

    def _knows(self, attempt: str, state: str) -> bool:
        sql = (
            "SELECT 1 FROM instances WHERE id = ? AND (told LIKE ? OR state = ?) "
            "UNION SELECT 1 FROM attempts WHERE id = ? AND (told = ? OR state = ?)"
        )
        if self._storage.rows(sql, attempt, f"%:{state}", state, attempt, state, state):
            return True
        what = "told_retry" if state == "up_for_retry" else f"told_{state.removeprefix('up_for_')}"
        return bool(self._storage.rows("SELECT 1 FROM events WHERE attempt_id = ? AND what = ?", attempt, what))

    def saved(self, process: "Process", step: int) -> None:
        """A child was told that its record is durable."""
        task = self.task_of(process.attempt)
        if process.attempt in self._dropped:  # the answer came late: its records were dropped by hand meanwhile
            return
        self._saved[task] = max(self._saved[task], step)

    def resumes(self, process: "Process", found: CheckpointResult) -> int:
        """A child is given what to go on from: a record that was saved, and not an older one without a reason."""
        task = self.task_of(process.attempt)
        self.checked["what is resumed from was saved, and is the last"] += 1
        step = 0 if found.checkpoint is None else _step(found.checkpoint.data)
        if step and step not in self._tried[task]:
            self.wrong(f"{process.name} resumes from step {step}, which nobody saved")
        if step < self._saved[task] and found.note is None:
            self.wrong(f"{process.name} resumes from step {step}, and step {self._saved[task]} was acknowledged")
        return step

    def look(self) -> None:
        """Look for questions that wait too long, and for children that nobody wants any more."""
        self.checked["every question is answered"] += len(self._questions)
        self.checked["nobody runs on who was replaced"] += len(self._lost)
        late = self.world.now - ANSWERED_WITHIN_S
        for (process, number), asked in self._questions.items():
            if max(asked, self.last_fault) < late and process.alive:
                self.wrong(f"question {number} of {process.name} is not answered")
        late = self.world.now - REPLACED_S
        for attempt, since in self._lost.items():
            for process in self.processes[attempt]:
                if process.alive and max(since, self.last_fault) < late:
                    self.wrong(f"{process.name} runs on, and was replaced long ago")

    # --- what is sent -------------------------------------------------------------------------------------------------

    def sent(self, party: Party, request: "Request") -> None:
        """An outcome is sent again byte for byte, whoever sends it."""
        body = request.body or b""
        if not request.target.endswith("/state") or ACKNOWLEDGED in body:
            return
        claims = _claims(request.token)
        key = str(claims["sub"]), int(claims.get("fence") or 0)
        self.checked["an outcome is told in the same words"] += 1
        before = self._bodies.setdefault(key, body)
        if before != body and not self._plan.disk_fails:
            self.wrong(f"{party.name} tells {body.decode()} where {before.decode()} was told")

    # --- the server's timeline ----------------------------------------------------------------------------------------

    def committed(self) -> None:
        """Read what was added to the timeline."""
        sql = (
            "SELECT e.id, e.attempt_id, e.what, e.why, e.detail, i.task_id, i.fence FROM events e "
            "JOIN instances i ON i.key = e.instance_key WHERE e.id > ? ORDER BY e.id"
        )
        for number, attempt, what, why, detail, task, fence in self._storage.rows(sql, self._events):
            self._events = number
            self._names[attempt] = task
            self.world.nature.tell(f"server: {task} {attempt[-4:]}: {what} ({why})")
            self._look(attempt, what, fence)
            if what in BY_HAND:
                self._open[attempt] = False
                self._lost[attempt] = self.world.now
                self._cleared[task] += what != "kill"
                if what != "kill" and not msgspec.json.decode(detail)["keep_checkpoint"]:
                    self._saved[task] = 0
                    self._dropped.add(attempt)

    def _look(self, attempt: str, what: str, fence: int) -> None:
        if what == "run":
            self._open[attempt] = True
        elif what.startswith(TELLS) and what != "told_terminated":
            self.checked["one outcome of an attempt"] += 1
            if not self._open.get(attempt):
                self.wrong(f"{what} was taken from {attempt[-4:]}, whose end was known")
            self._open[attempt] = False
            self._ended_by(what, attempt)
        elif what.startswith("lost_"):
            self._open[attempt] = False
            self._lost[attempt] = self.world.now
            self.checked["nobody is taken for lost without a reason"] += 1
            calm = self.world.now - self.last_fault
            if self.world.now - self.server_since < LISTENS_S:
                self.wrong(f"{attempt[-4:]} was taken for lost by a server that has not listened for a lease")
            elif calm > QUIET_S:
                self.wrong(f"{attempt[-4:]} was taken for lost, and nothing had gone wrong")
            elif calm > DELIVERED_S and (attempt, fence) in self._bodies:
                self.wrong(f"{attempt[-4:]} was taken for lost, and its end was known to its worker")

    def _ended_by(self, what: str, attempt: str) -> None:
        """An outcome is taken of an attempt: it is of its last process, which has said it, or is gone."""
        if not self.processes[attempt]:
            return
        process = self.processes[attempt][-1]
        self.checked["an outcome is true"] += 1
        if what in PROOFS and not _has_shown(process, *PROOFS[what]):
            self.wrong(f"{what} was taken from {process.name}, which has not ended so")
        if process.alive and not process.said:
            self.wrong(f"{what} was taken from {process.name}, which has not ended")
        late = self.world.now - process.began >= TIMEOUT_S
        meant = late or process.manner.ends in {"up_for_reschedule", "exit 85"}
        if what in INTERRUPTED and not meant and self.world.now - self.last_fault > QUIET_S:
            self.wrong(f"{process.name} was interrupted, and nothing had gone wrong")

    # --- the end ------------------------------------------------------------------------------------------------------

    def over(self) -> None:
        """All is quiet, and nothing goes wrong any more: everything has to be settled."""
        rows = self._storage.rows("SELECT key, task_id, state, try_number, max_tries FROM instances ORDER BY key")
        held = self._held()
        for key, task, state, tries, most in rows:
            waits = key in held or (held and state == TaskInstanceState.SCHEDULED)
            if not waits and TaskInstanceState(state) not in FINISHED:
                self.wrong(f"{task} is {state} when all should be over")
            spent = [what for (what,) in self._storage.rows("SELECT what FROM events WHERE instance_key = ?", key)]
            count = sum(what in SPENDS for what in spent)
            self.checked["tries are what was spent"] += 1
            if not 1 + count <= tries <= 1 + count + self._cleared[task]:
                self.wrong(f"{task} is at try {tries}, and {count} were spent")
            if most and tries > most + 1:
                self.wrong(f"{task} is at try {tries} of {most + 1}")

    def _held(self) -> set[int]:
        """Give those that ran into their time-out and have a checkpoint: a person is to say whether they go on."""
        sql = (
            "SELECT i.key, e.why FROM instances i JOIN events e ON e.instance_key = i.key "
            "WHERE i.state = 'checkpointed' AND i.due IS NULL "
            "AND e.id = (SELECT max(last.id) FROM events last WHERE last.instance_key = i.key)"
        )
        return {key for key, why in self._storage.rows(sql) if why.endswith("held, because the stop was a timeout")}

    def left(self, processes: "list[Process]", owed: int) -> None:
        """All workers have ended: nothing of them may be left."""
        self.checked["nothing is left"] += 1
        for process in processes:
            self.wrong(f"{process.name} is left running")
        if owed:
            self.wrong(f"{owed} outcomes are still in a journal")


def _has_shown(process: "Process", word: str, code: int) -> bool:
    return process.said == word if process.frames else process.code == code


def _step(data: object) -> int:
    return int(data.get("step", 0)) if isinstance(data, dict) else 0


def _claims(token: str) -> dict[str, Any]:
    middle = token.split(".")[1]
    found: dict[str, Any] = msgspec.json.decode(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return found
