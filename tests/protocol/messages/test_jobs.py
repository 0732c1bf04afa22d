import msgspec
import pytest

from protocol.messages import jobs
from protocol.messages.jobs import JobAcknowledged, JobEnded, JobIntent, RecordJob
from tests.protocol.messages.exercise import exercise_messages
from tests.protocol.samples import as_map


def test_messages() -> None:
    exercise_messages(jobs, strict={"RecordJob", "GetJobRecord", "JobRecordResult"})


@pytest.mark.parametrize(
    "entry", [JobIntent(1, "key"), JobAcknowledged(1, "key", "17"), JobEnded(2, "key", "succeeded", "17", {"rows": 3})]
)
def test_an_entry_is_told_by_its_phase(entry: jobs.JobRecord) -> None:
    assert msgspec.convert(as_map(RecordJob("export", entry)), RecordJob).entry == entry


def test_generations_count_from_one() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(as_map(RecordJob("export", JobIntent(0, "key"))), RecordJob)
