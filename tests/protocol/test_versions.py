import msgspec
import pytest

from protocol import versions
from protocol.changes import Change
from protocol.errors import LocalProtocolError
from protocol.messages.control import SetExecutionTimeout
from protocol.messages.outcomes import SucceedTask
from protocol.messages.xcoms import GetXCom
from protocol.versions import HEAD, OLDEST, down, exists, known, up
from tests.protocol.samples import GREETING, as_map, every_message, full


@pytest.mark.parametrize("date", ["2026-06-17", "", "2099-01-01", "HEAD"])
def test_an_unknown_date_is_refused(date: str) -> None:
    with pytest.raises(LocalProtocolError, match="known are 2026-06-16, 2026-10-30"):
        known(date)


def test_a_known_date_is_given_back() -> None:
    assert [known(version) for version in versions.VERSIONS] == ["2026-06-16", "2026-10-30"]


def test_a_message_exists_from_its_version_on() -> None:
    assert exists("SetExecutionTimeout", HEAD)
    assert not exists("SetExecutionTimeout", OLDEST)
    assert exists("GetXCom", OLDEST)


def test_down_and_up_again_loses_only_what_was_new() -> None:
    body = as_map(GetXCom("k", "d", "r", "t", previous_iteration=True))
    older = down("GetXCom", body, OLDEST)
    assert older == {key: value for key, value in body.items() if key != "previous_iteration"}
    assert msgspec.convert(up("GetXCom", older, OLDEST), GetXCom) == GetXCom("k", "d", "r", "t")


def test_the_newest_version_needs_no_step() -> None:
    body = as_map(full(SucceedTask))
    assert down("SucceedTask", body, HEAD) is body
    assert up("SucceedTask", body, HEAD) is body


def test_a_message_cannot_be_said_before_it_was_there() -> None:
    with pytest.raises(LocalProtocolError, match="SetExecutionTimeout cannot be said at wire version 2026-06-16"):
        down("SetExecutionTimeout", as_map(SetExecutionTimeout(1.0)), OLDEST)


def test_the_greeting_of_an_older_child_has_none_of_what_came_later() -> None:
    older = down("StartupDetails", as_map(GREETING), OLDEST)
    assert {"region_id", "region_index"}.isdisjoint(older["ti"])
    assert "version_data" not in older["bundle_info"]
    assert {"loop", "arg_bindings", "multi_team", "first_task_reschedule_start_date"}.isdisjoint(older["ti_context"])


def test_every_older_body_is_a_newest_one_after_its_steps_up() -> None:
    for message in every_message():
        if exists(message.__name__, OLDEST):
            older = down(message.__name__, as_map(full(message)), OLDEST)
            msgspec.convert(up(message.__name__, older, OLDEST), message)


def test_a_step_up_is_taken_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    change = Change(HEAD, GetXCom, down=lambda body: body, up=lambda body: body | {"map_index": 7})
    monkeypatch.setattr(versions, "CHANGES", (change,))
    assert up("GetXCom", {"key": "k"}, OLDEST) == {"key": "k", "map_index": 7}
