import msgspec
import pytest

from protocol.messages import startup
from protocol.messages.startup import LiteralArgBinding, MappedArgBinding, TaskArgBinding, TIRunContext, XComArgBinding
from tests.protocol.messages.exercise import exercise_messages
from tests.protocol.samples import GREETING, RUN, as_map


def test_messages() -> None:
    exercise_messages(startup, strict=set())


def test_every_key_of_the_greeting_is_on_the_wire_also_the_empty_ones() -> None:
    body = as_map(GREETING)
    assert body["ti"]["hostname"] is None
    assert body["ti_context"]["next_method"] is None
    assert body["ti_context"]["dag_run"]["conf"] is None


def test_a_run_takes_nothing_it_does_not_know() -> None:
    body = as_map(GREETING)
    body["ti_context"]["dag_run"]["added"] = 1
    with pytest.raises(msgspec.ValidationError, match="added"):
        msgspec.convert(body, startup.StartupDetails)


def test_each_kind_of_argument_is_told_by_its_kind() -> None:
    bindings: list[TaskArgBinding] = [
        XComArgBinding("a", "up"),
        LiteralArgBinding("b", value=[1]),
        MappedArgBinding("c", "up"),
    ]
    context = TIRunContext(RUN, 0, arg_bindings=bindings)
    assert [binding["kind"] for binding in as_map(context)["arg_bindings"]] == ["xcom", "literal", "mapped"]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(context), type=TIRunContext) == context
