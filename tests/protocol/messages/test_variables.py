from protocol.messages import variables
from protocol.messages.variables import ConnectionResult
from tests.protocol.messages.exercise import exercise_messages
from tests.protocol.samples import as_map


def test_messages() -> None:
    exercise_messages(variables, strict={"VariableResult"})


def test_a_connection_has_all_its_keys_and_its_schema_under_that_name() -> None:
    body = as_map(ConnectionResult("db", "postgres", None, "public", None, None, None, None))
    assert body["schema"] == "public"
    assert body["password"] is None
    assert len(body) == 9
