"""The ledger of external jobs: what makes submitting one safe to interrupt. All of it is Taskhand's own.

The intent is acknowledged before the job is submitted, so that whoever comes next knows that it may exist and under
which key to look for it. A generation ends with a terminal record, and only then may the next one begin.
"""

from typing import Annotated

from msgspec import Meta, Struct

from protocol.messages.shape import Aware, Json, StrictMessage

Generation = Annotated[int, Meta(ge=1)]


class JobEntry(Struct, frozen=True, gc=False, tag_field="phase", forbid_unknown_fields=True):
    """What every entry of the ledger has."""

    generation: Generation
    key: str
    """Derived from the task instance and the generation, never from the attempt."""


class JobIntent(JobEntry, frozen=True, tag="intent"):
    """A job is about to be submitted under this key."""


class JobAcknowledged(JobEntry, frozen=True, tag="ack"):
    """The job exists, under the other system's id."""

    external_id: str


class JobEnded(JobEntry, frozen=True, tag="terminal"):
    """The job ended; its result is kept here, so that a later attempt returns it without submitting again."""

    outcome: str
    external_id: str | None = None
    result: Json | None = None


JobRecord = JobIntent | JobAcknowledged | JobEnded


class RecordJob(StrictMessage, frozen=True):
    """Write the next entry of one job's ledger. An entry that may not follow the last one is refused."""

    job: str
    entry: JobRecord


class GetJobRecord(StrictMessage, frozen=True):
    """Ask for the last entry of one job's ledger."""

    job: str


class JobRecordResult(StrictMessage, frozen=True):
    """The last entry and when it was written, or nil."""

    entry: JobRecord | None = None
    recorded: Aware | None = None
