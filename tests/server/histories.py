"""Random histories: whatever is asked in whatever order, the timeline of every instance is a path through the table."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocol.messages.checkpoints import StopReason
from protocol.states import TaskInstanceState
from server.faults import CallerError
from server.filters import InstanceFilter
from server.outcomes import AwaitingInput, Deferred, Ended, NewCheckpoint, Outcome, Rescheduled, ServerTerminated
from server.records import Claimed, FailureKind, Instance, Question
from server.rules import TABLE, Event, Move
from server.sql.part import Limits
from server.store import Store
from tests.server.exercise.story import HERE, THERE, Story, task

Make = Callable[[Path, Limits], AbstractAsyncContextManager[Store]]
S = TaskInstanceState
NAMES = {event.value for event in Event}
TASKS = (
    task("a", retries=1, retry_delay_s=5, resume_limit=2),
    task("b", "a", retries=2, retry_delay_s=0, resume_limit=1),
    task("c", "a", trigger_rule="all_done", pool="small"),
    task("d", "b", "c", map_over="b", pool="small"),
)

BY_PEOPLE = ["clear", "keep", "down", "kill", "resume", "success", "failed", "skipped", "fire", "ends"]
ACTS = ["time", "work", "tells", "returns"] * 6 + ["claim", "starts", "beats", "saves", "answers", *BY_PEOPLE]

picks = st.integers(0, 1000)


class Histories(RuleBasedStateMachine):
    """One run, and everybody who has to do with it. A refusal is an answer too: it must only leave no trace."""

    make: Make

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.folder = TemporaryDirectory()
        store = self.do(self.stack.enter_async_context(type(self).make(Path(self.folder.name), Limits())))
        self.story = Story(store)
        self.claimed: list[Claimed] = []
        self.ids: list[str] = []
        self.fences: dict[str, int] = {}
        self.do(store.set_pool("small", 1))
        self.do(self.story.submit(*TASKS))

    def do(self, asking: Any) -> Any:
        return self.runner.run(asking)

    def ask(self, asking: Any) -> Any:
        """Ask for something that may be refused."""
        try:
            return self.do(asking)
        except CallerError:
            return None

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.do(self.stack.aclose())
            self.runner.close()
            self.folder.cleanup()

    @rule(act=st.sampled_from(ACTS), pick=picks, what=st.integers(0, 12))
    def something_happens(self, act: str, pick: int, what: int) -> None:
        """One rule for all: hypothesis leaves rules out of some runs, and this one lives of their mixture."""
        if act == "time":
            self.time_passes((0, 1, 6, 31, 61)[pick % 5])
        elif act == "claim":
            self.someone_claims(1 + pick % 3)
        elif act == "work":
            self.someone_works(1 + pick % 3)
        elif act in BY_PEOPLE:
            self.a_person_acts(pick, act)
        elif self.ids:
            getattr(self, f"someone_{act}")(pick, what)

    def time_passes(self, seconds: int) -> None:
        self.story.later(seconds)
        self.do(self.story.tick())

    def someone_claims(self, slots: int) -> None:
        for claimed in self.do(self.story.claim(slots)):
            self.claimed.append(claimed)
            self.ids.append(claimed.instance.id)

    def someone_works(self, slots: int) -> None:
        for claimed in self.do(self.story.claim(slots)):
            self.claimed.append(claimed)
            self.ids.append(claimed.instance.id)
            started = self.do(self.story.start(claimed.instance))
            self.fences[claimed.instance.id] = started.instance.fence

    def some_attempt(self, pick: int) -> str:
        """Mostly one that runs, sometimes any there ever was."""
        running = self.do(self.story.store.instances(InstanceFilter(states=["running", "restarting"])))
        if running and pick % 5:
            return str(running[pick % len(running)].id)
        return self.ids[pick % len(self.ids)]

    def someone_starts(self, pick: int, what: int) -> None:
        it, process = self.claimed[pick % len(self.claimed)].instance, (HERE, THERE)[what % 2]
        fence = it.fence if what % 3 else None
        started = self.ask(self.story.store.start(it.id, process, self.story.now, self.story.now, fence=fence))
        if started is not None:
            self.fences[it.id] = started.instance.fence

    def someone_beats(self, pick: int, what: int) -> None:
        process = (HERE, THERE)[what % 2]
        self.ask(self.story.store.heartbeat(self.some_attempt(pick), process.hostname, process.pid, self.story.now))

    def someone_saves(self, pick: int, what: int) -> None:
        new = NewCheckpoint(data={"step": what}, progress=what if what % 3 else None)
        self.ask(self.story.store.save_checkpoint(self.some_attempt(pick), new, self.story.now))

    def someone_returns(self, pick: int, what: int) -> None:
        it = self.ask(self.story.store.instance(self.some_attempt(pick)))
        if it is not None:
            self.ask(self.story.returned(it, [0] * (what % 4)))
            self.ask(self.story.finish(it))

    def someone_tells(self, pick: int, what: int) -> None:
        ti_id = self.some_attempt(pick)
        outcome, store = self.outcome(what), self.story.store
        fence = self.fences.get(ti_id) if pick % 2 else None
        applied = self.ask(store.finish(ti_id, outcome, self.story.now, fence=fence))
        if applied is not None and pick % 3:
            assert self.do(store.finish(ti_id, outcome, self.story.now, fence=fence)) == "again"
        self.do(self.story.tick())

    def someone_answers(self, pick: int, what: int) -> None:
        it = self.ask(self.story.store.instance(self.some_attempt(pick)))
        if it is not None:
            self.ask(self.story.store.ask_people(it.id, Question(options=["x"], subject="?")))
            if what % 2:
                self.ask(self.story.finish(it, AwaitingInput(next_method="go", timeout=30)))
            self.ask(self.story.store.answer_question(it.id, ["x"], {}, None, self.story.now))

    def outcome(self, what: int) -> Outcome:
        now = self.story.now
        return (
            Ended(state=S.SUCCESS, end_date=now),
            Ended(state=S.SUCCESS, end_date=now),
            Ended(state=S.FAILED, end_date=now),
            Ended(state=S.SKIPPED, end_date=now),
            self.story.retried(),
            self.story.retried(kind=FailureKind.EVICTED),
            Rescheduled(reschedule_date=now, end_date=now),
            Deferred(classpath="a.B", next_method="go", trigger_timeout=30),
            AwaitingInput(next_method="go", timeout=30),
            self.story.checkpointed(reason=StopReason.EVICT),
            self.story.checkpointed(reason=StopReason.USER_KILL),
            self.story.checkpointed(checkpoint=NewCheckpoint(data={"step": 1})),
            ServerTerminated(end_date=now),
        )[what]

    def a_person_acts(self, pick: int, act: str) -> None:
        instances: list[Instance] = self.do(self.story.store.instances(InstanceFilter()))
        it, store, now = instances[pick % len(instances)], self.story.store, self.story.now
        asking: dict[str, Callable[[], Any]] = {
            "clear": lambda: store.clear(it.id, now, keep_checkpoint=False),
            "keep": lambda: store.clear(it.id, now, keep_checkpoint=True),
            "down": lambda: store.clear(it.id, now, keep_checkpoint=False, downstream=True),
            "kill": lambda: store.kill(it.id, now, reason="test"),
            "resume": lambda: store.resume(it.id, now),
            "fire": lambda: store.trigger_event(it.trigger_id or 0, {"x": 1}, now),
            "success": lambda: store.mark(it.id, "success", now),
            "failed": lambda: store.mark(it.id, "failed", now),
            "skipped": lambda: store.mark(it.id, "skipped", now),
            "ends": lambda: store.trigger_event(it.trigger_id or 0, None, now, ends_as="success"),
        }
        self.ask(asking[act]())
        self.do(self.story.tick())

    @invariant()
    def every_timeline_is_a_path_through_the_table(self) -> None:
        if not hasattr(self, "story"):
            return
        for it in self.do(self.story.store.instances(InstanceFilter())):
            state = S.SCHEDULED
            events = self.do(self.story.store.timeline(it.dag_id, it.run_id, it.task_id, it.map_index))
            for event in events:
                if event.what in NAMES:
                    cell = TABLE[state, Event(event.what)]
                    assert isinstance(cell, Move), (it.task_id, state, event.what)
                    state = cell.to
            assert state is it.state, (it.task_id, [event.what for event in events])

    @invariant()
    def slots_and_attempts_add_up(self) -> None:
        if not hasattr(self, "story"):
            return
        [small] = [pool for pool in self.do(self.story.store.pools()) if pool.name == "small"]
        assert small.used <= small.slots
        for it in self.do(self.story.store.instances(InstanceFilter())):
            attempts = self.do(self.story.store.attempts(it.dag_id, it.run_id, it.task_id, it.map_index))
            assert len({one.id for one in attempts}) == len(attempts)
            assert [one.current for one in attempts] == [False] * (len(attempts) - 1) + [True]
            assert (it.due is not None) >= (it.state in {S.RUNNING, S.RESTARTING})
            kept = self.do(self.story.store.checkpoints(it.dag_id, it.run_id, it.task_id, it.map_index))
            assert len(kept) <= 2
