"""What the environment says, and what is taken when it says nothing."""

from pathlib import Path

from server.settings import Surroundings, surroundings


def test_an_empty_environment_has_defaults() -> None:
    assert surroundings({"HOME": "/h", "TASKHAND_SERVER": ""}) == Surroundings(Path("/h/.taskhand"))
    assert surroundings({"HOME": "/h", "TASKHAND_HOME": "~/state"}) == Surroundings(Path("/h/state"))
    assert surroundings({"HOME": "/h", "TASKHAND_HOME": "~"}) == Surroundings(Path("/h"))


def test_all_of_it_is_read() -> None:
    said = {
        "TASKHAND_HOME": "/state",
        "TASKHAND_SERVER": "http://s",
        "TASKHAND_TOKEN": "t",
        "TASKHAND_SECRET": "s",
        "NOTIFY_SOCKET": "@n",
        "TASKHAND_KEYS": "one, two,",
    }
    assert surroundings(said) == Surroundings(Path("/state"), "http://s", "t", "s", "@n", ("one", "two"))
