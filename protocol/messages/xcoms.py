"""XComs: what tasks hand to each other, one value per key and map index."""

from protocol.changes import Change, drop
from protocol.messages.shape import Json, Message, SparseMessage


class GetXCom(Message, frozen=True):
    """Ask for one value. An absent one is answered with nil, not with an error."""

    key: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None = None
    include_prior_dates: bool = False
    previous_iteration: bool = False


class XComResult(SparseMessage, frozen=True):
    """One value, still in the form its writer serialised it to."""

    key: str
    value: Json | None


class SetXCom(Message, frozen=True):
    """Write one value, already serialised. `mapped_length` says how many task instances map over it."""

    key: str
    value: Json
    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None = None
    dag_result: bool = False
    mapped_length: int | None = None


class DeleteXCom(Message, frozen=True):
    """Remove one value; removing an absent one is fine."""

    key: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None = None


class GetXComCount(Message, frozen=True):
    """Ask how many map indexes of a task wrote a key."""

    key: str
    dag_id: str
    run_id: str
    task_id: str
    previous_iteration: bool = False


class XComCountResponse(Message, frozen=True):
    """A number of map indexes."""

    len: int


class GetXComSequenceItem(Message, frozen=True):
    """Ask for the value at an offset into the map indexes; negative offsets count from the end."""

    key: str
    dag_id: str
    run_id: str
    task_id: str
    offset: int
    previous_iteration: bool = False


class XComSequenceIndexResult(Message, frozen=True):
    """One value, under `root`."""

    root: Json


class GetXComSequenceSlice(Message, frozen=True):
    """Ask for a slice of the values over the map indexes, as Python slices."""

    key: str
    dag_id: str
    run_id: str
    task_id: str
    start: int | None
    stop: int | None
    step: int | None
    include_prior_dates: bool = False
    previous_iteration: bool = False


class XComSequenceSliceResult(Message, frozen=True):
    """Values, under `root`."""

    root: list[Json]


_without_iteration = drop("previous_iteration")

CHANGES = tuple(
    Change("2026-10-30", message, down=_without_iteration)
    for message in (GetXCom, GetXComCount, GetXComSequenceItem, GetXComSequenceSlice)
)
