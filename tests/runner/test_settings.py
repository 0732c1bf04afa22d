import pytest

from runner.settings import Settings, descriptors, read


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TASKHAND_FD", "TASKHAND_LOG_FD", "TASKHAND_BUNDLES", "TASKHAND_BLOBS"):
        monkeypatch.delenv(name, raising=False)


def test_without_settings_code_is_where_its_author_has_it() -> None:
    assert read() == Settings({"local": "/"}, None)


def test_bundles_and_blobs_have_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKHAND_BUNDLES", '{"team": "/srv/team", "local": "/home"}')
    monkeypatch.setenv("TASKHAND_BLOBS", "/srv/blobs")
    assert read() == Settings({"local": "/home", "team": "/srv/team"}, "/srv/blobs")


def test_the_channels_are_named_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKHAND_FD", "3")
    monkeypatch.setenv("TASKHAND_LOG_FD", "4")
    assert descriptors() == (3, 4)


@pytest.mark.parametrize("value", [None, "", "three"])
def test_a_child_that_no_worker_started_says_so(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is not None:
        monkeypatch.setenv("TASKHAND_FD", value)
    with pytest.raises(SystemExit, match="started by a Taskhand worker"):
        descriptors()
