"""The three small machines of an attempt, as full tables. `lifecycle` fires and couples them.

- The **child** machine: where the process is.
- The **report** machine: what the server has been told about the end, by the task's own word or by ours.
- The **lease** machine: whether the server believes that we run.

Every state has a cell for every event. A cell is the state that follows and what is to be done; `_` is a cell that
changes nothing and does nothing, written down because somebody thought about it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from supervisor.outcome import Standing


class Do(StrEnum):
    """What the shell carries out."""

    SPAWN = "spawn"
    START = "start"
    """Ask the server to let it run."""
    GREET = "greet"
    CAPTURE = "capture"
    """Write the stacks of the child's threads into its log."""
    SIGNAL = "signal"
    TELL = "tell"
    """Tell the server the task's word; the answer to the child follows from the server's."""
    REFUSE = "refuse"
    """Answer a further terminal message with an error: the first one stands."""
    REPORT = "report"
    """Tell the server the verdict."""
    BEAT = "beat"
    LOOK = "look"
    """See whether the child has read its greeting."""
    HANG_UP = "hang up"
    """Stop reading frames: the conversation is over."""
    RELEASE = "release"
    """The process is gone: its slot is free."""
    FINISH = "finish"
    """Nothing is left to do; the record is complete."""


class Child(StrEnum):
    """Where the process is."""

    ABSENT = "absent"
    WAITING = "waiting"
    """It exists; the server has not yet said that it may run."""
    BOOTING = "booting"
    WORKING = "working"
    SPOKEN = "spoken"
    """Its word stands, or is on its way to the server; it has to end now."""
    STOPPING = "stopping"
    GONE = "gone"


class ChildEvent(StrEnum):
    """What happens to the process."""

    SPAWNED = "spawned"
    UNSPAWNED = "unspawned"
    GRANTED = "granted"
    HEARD = "heard"
    SPOKE = "spoke"
    DECLINED = "declined"
    STOP = "stop"
    EXITED = "exited"


class Report(StrEnum):
    """What the server has been told about the end."""

    QUIET = "quiet"
    TELLING = "telling"
    """The task's word is on its way."""
    DUE = "due"
    """The process has ended, and our verdict is on its way."""
    TOLD = "told"
    CLOSED = "closed"
    """The server wants to hear no more: it gave the attempt up, never let it start, or cannot take our verdict."""


class ReportEvent(StrEnum):
    """What happens to the report."""

    SPOKE = "spoke"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    FENCED = "fenced"
    ENDED = "ended"


class Lease(StrEnum):
    """Whether the server believes that we run."""

    UNASKED = "unasked"
    ASKED = "asked"
    HELD = "held"
    EXPIRED = "expired"
    """Nothing was heard from the server for so long that it may start another attempt."""
    OVER = "over"
    """Refused, given up or ended."""


class LeaseEvent(StrEnum):
    """What happens to the lease."""

    ASK = "ask"
    GRANTED = "granted"
    REFUSED = "refused"
    BEAT = "beat"
    SILENCE = "silence"
    CLOSE = "close"


S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)
Cell = tuple[S, tuple[Do, ...]]
"""What follows: the next state, and what is to be done."""
Table = Mapping[S, Mapping[E, Cell[S]]]

_C, _CE, _R, _RE, _L, _LE = Child, ChildEvent, Report, ReportEvent, Lease, LeaseEvent
_: tuple[Do, ...] = ()

CHILD: Table[Child, ChildEvent] = {
    _C.ABSENT: {
        _CE.SPAWNED: (_C.WAITING, _),
        _CE.UNSPAWNED: (_C.GONE, (Do.RELEASE,)),
        _CE.GRANTED: (_C.ABSENT, _),
        _CE.HEARD: (_C.ABSENT, _),
        _CE.SPOKE: (_C.ABSENT, _),
        _CE.DECLINED: (_C.ABSENT, _),
        _CE.STOP: (_C.ABSENT, _),  # there is nobody to signal yet; the coupling stops it when it comes
        _CE.EXITED: (_C.GONE, (Do.RELEASE,)),
    },
    _C.WAITING: {
        _CE.SPAWNED: (_C.WAITING, _),
        _CE.UNSPAWNED: (_C.WAITING, _),
        _CE.GRANTED: (_C.BOOTING, (Do.GREET,)),
        _CE.HEARD: (_C.WAITING, _),
        _CE.SPOKE: (_C.WAITING, _),
        _CE.DECLINED: (_C.WAITING, _),
        _CE.STOP: (_C.STOPPING, _),
        _CE.EXITED: (_C.GONE, (Do.RELEASE,)),
    },
    _C.BOOTING: {
        _CE.SPAWNED: (_C.BOOTING, _),
        _CE.UNSPAWNED: (_C.BOOTING, _),
        _CE.GRANTED: (_C.BOOTING, _),
        _CE.HEARD: (_C.WORKING, _),
        _CE.SPOKE: (_C.SPOKEN, _),
        _CE.DECLINED: (_C.BOOTING, _),
        _CE.STOP: (_C.STOPPING, _),
        _CE.EXITED: (_C.GONE, (Do.RELEASE,)),
    },
    _C.WORKING: {
        _CE.SPAWNED: (_C.WORKING, _),
        _CE.UNSPAWNED: (_C.WORKING, _),
        _CE.GRANTED: (_C.WORKING, _),
        _CE.HEARD: (_C.WORKING, _),
        _CE.SPOKE: (_C.SPOKEN, _),
        _CE.DECLINED: (_C.WORKING, _),
        _CE.STOP: (_C.STOPPING, _),
        _CE.EXITED: (_C.GONE, (Do.RELEASE,)),
    },
    _C.SPOKEN: {
        _CE.SPAWNED: (_C.SPOKEN, _),
        _CE.UNSPAWNED: (_C.SPOKEN, _),
        _CE.GRANTED: (_C.SPOKEN, _),
        _CE.HEARD: (_C.SPOKEN, _),
        _CE.SPOKE: (_C.SPOKEN, _),
        _CE.DECLINED: (_C.WORKING, _),
        _CE.STOP: (_C.STOPPING, _),
        _CE.EXITED: (_C.GONE, (Do.RELEASE,)),
    },
    _C.STOPPING: {
        _CE.SPAWNED: (_C.STOPPING, _),
        _CE.UNSPAWNED: (_C.STOPPING, _),
        # It is being stopped and is not greeted any more; its end will be told.
        _CE.GRANTED: (_C.STOPPING, _),
        _CE.HEARD: (_C.STOPPING, _),
        _CE.SPOKE: (_C.STOPPING, _),
        _CE.DECLINED: (_C.STOPPING, _),
        _CE.STOP: (_C.STOPPING, _),
        _CE.EXITED: (_C.GONE, (Do.RELEASE,)),
    },
    _C.GONE: dict.fromkeys(ChildEvent, (_C.GONE, _)),
}

REPORT: Table[Report, ReportEvent] = {
    _R.QUIET: {
        _RE.SPOKE: (_R.TELLING, (Do.TELL,)),
        _RE.ACCEPTED: (_R.QUIET, _),
        _RE.DECLINED: (_R.QUIET, _),
        _RE.FENCED: (_R.CLOSED, _),
        _RE.ENDED: (_R.DUE, (Do.REPORT,)),
    },
    _R.TELLING: {
        _RE.SPOKE: (_R.TELLING, (Do.REFUSE,)),
        _RE.ACCEPTED: (_R.TOLD, _),
        # The server cannot take this word (a bad partition key, say). The task may find another one.
        _RE.DECLINED: (_R.QUIET, _),
        _RE.FENCED: (_R.CLOSED, _),
        _RE.ENDED: (_R.TELLING, _),
    },
    _R.DUE: {
        _RE.SPOKE: (_R.DUE, (Do.REFUSE,)),
        _RE.ACCEPTED: (_R.TOLD, _),
        _RE.DECLINED: (_R.CLOSED, _),
        _RE.FENCED: (_R.CLOSED, _),
        _RE.ENDED: (_R.DUE, _),
    },
    _R.TOLD: {
        _RE.SPOKE: (_R.TOLD, (Do.REFUSE,)),
        _RE.ACCEPTED: (_R.TOLD, _),
        _RE.DECLINED: (_R.TOLD, _),
        # Of course it must not run any more: it has ended, and the server knows.
        _RE.FENCED: (_R.TOLD, _),
        _RE.ENDED: (_R.TOLD, _),
    },
    _R.CLOSED: {
        _RE.SPOKE: (_R.CLOSED, (Do.REFUSE,)),
        _RE.ACCEPTED: (_R.CLOSED, _),
        _RE.DECLINED: (_R.CLOSED, _),
        _RE.FENCED: (_R.CLOSED, _),
        _RE.ENDED: (_R.CLOSED, _),
    },
}

STANDING: Mapping[Report, Standing] = {
    _R.QUIET: Standing.SILENT,
    _R.TELLING: Standing.PENDING,
    _R.DUE: Standing.SILENT,
    _R.TOLD: Standing.TOLD,
    _R.CLOSED: Standing.PENDING,
}
"""Where a word that was said stands."""

LEASE: Table[Lease, LeaseEvent] = {
    _L.UNASKED: {
        _LE.ASK: (_L.ASKED, (Do.START,)),
        _LE.GRANTED: (_L.UNASKED, _),
        _LE.REFUSED: (_L.UNASKED, _),
        _LE.BEAT: (_L.UNASKED, _),
        _LE.SILENCE: (_L.UNASKED, _),
        _LE.CLOSE: (_L.OVER, _),
    },
    _L.ASKED: {
        _LE.ASK: (_L.ASKED, _),
        _LE.GRANTED: (_L.HELD, _),
        _LE.REFUSED: (_L.OVER, _),
        _LE.BEAT: (_L.ASKED, _),
        _LE.SILENCE: (_L.ASKED, _),
        _LE.CLOSE: (_L.OVER, _),
    },
    _L.HELD: {
        _LE.ASK: (_L.HELD, _),
        _LE.GRANTED: (_L.HELD, _),
        _LE.REFUSED: (_L.OVER, _),
        _LE.BEAT: (_L.HELD, _),
        _LE.SILENCE: (_L.EXPIRED, _),
        _LE.CLOSE: (_L.OVER, _),
    },
    _L.EXPIRED: {
        _LE.ASK: (_L.EXPIRED, _),
        _LE.GRANTED: (_L.EXPIRED, _),
        _LE.REFUSED: (_L.OVER, _),
        # The server came back and nobody else has the attempt: it is ours again. A stop under way goes on.
        _LE.BEAT: (_L.HELD, _),
        _LE.SILENCE: (_L.EXPIRED, _),
        _LE.CLOSE: (_L.OVER, _),
    },
    _L.OVER: dict.fromkeys(LeaseEvent, (_L.OVER, _)),
}
