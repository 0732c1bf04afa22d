from protocol.messages import parsing
from protocol.messages.parsing import DagFileParseRequest, DagFileParsingResult
from protocol.versions import down
from tests.protocol.messages.exercise import exercise_messages
from tests.protocol.samples import as_map, full


def test_messages() -> None:
    exercise_messages(parsing, strict=set())


def test_callbacks_inside_a_request_are_stepped_down_too() -> None:
    (callback,) = down("DagFileParseRequest", as_map(full(DagFileParseRequest)), "2026-06-16")["callback_requests"]
    assert "version_data" not in callback
    assert "region_id" not in callback["context_from_server"]["last_ti"]
    assert set(down("DagFileParsingResult", as_map(full(DagFileParsingResult)), "2026-06-16")) == {
        "type",
        "fileloc",
        "serialized_dags",
        "warnings",
        "import_errors",
    }
