from pathlib import Path

import pytest

from supervisor.runtimes import RuntimeKind
from supervisor.sections import SettingsError
from supervisor.settings import Settings, child_environment, identity, load, notify_socket


def test_each_layer_is_over_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "taskhand.toml"
    file.write_text('[api]\nurl = "http://file"\ntimeout_s = 3\n[worker]\nslots = 2\nname = "f"\n')
    environ = {"TASKHAND_API_URL": "http://env", "TASKHAND_WORKER_SLOTS": "3", "OTHER": "x"}
    found = load({"worker.slots": 4, "worker.name": None}, str(file), environ)
    assert (found.settings.api.url, found.settings.api.timeout_s) == ("http://env", 3.0)
    assert (found.settings.worker.slots, found.settings.worker.name) == (4, "f")
    assert found.origins == {
        "api.url": "TASKHAND_API_URL",
        "api.timeout_s": str(file),
        "worker.slots": "--slots",
        "worker.name": str(file),
    }


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("[worker]\nslots = 2\n")
    assert load({}, environ={"TASKHAND_CONFIG": str(file)}).settings.worker.slots == 2


def test_lists_in_the_environment_are_separated_by_commas() -> None:
    assert load({}, environ={"TASKHAND_WORKER_QUEUES": "a,b,"}).settings.worker.queues == ("a", "b")


def test_runtimes_and_routes_are_read(tmp_path: Path) -> None:
    file = tmp_path / "taskhand.toml"
    file.write_text(
        '[runtimes.node]\nkind = "command"\ncommand = ["node", "x.mjs"]\n[queues]\njs = "node"\n[bundles]\nb = "/srv"\n'
        "[server]\nanything = 1\n"
    )
    settings = load({}, str(file), {}).settings
    assert settings.runtime(None, "js").command == ("node", "x.mjs")
    assert settings.runtime("plain", "js").kind is RuntimeKind.PLAIN
    assert settings.runtime(None, "default").kind is RuntimeKind.PYTHON
    assert settings.bundles == {"b": "/srv"}
    with pytest.raises(SettingsError, match="did you mean node"):
        settings.runtime("nod", "js")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[wroker]\nslots = 1\n", "did you mean worker"),
        ("[worker]\nslot = 1\n", "did you mean slots"),
        ("[worker]\nzzzzzz = 1\n", "known are"),
        ("worker = 1\n", "is a table"),
        ("[worker]\nslots = 'many'\n", "taskhand.toml: .*slots"),
        ("[worker]\nslots = 0\n", "taskhand.toml: .*>= 1.*slots"),
        ("[limits]\nheartbeat_s = 0\n", "> 0"),
        ("[limits]\nboot_s = -1\n", "> 0"),
        ("[graces]\npod_s = -1\n", ">= 0"),
        ("[logs]\nmax_bytes = 0\n", ">= 1"),
        ("[children]\ncpu_weight = 0\n", ">= 1"),
        ("[children.rlimits]\nfiles = 10\n", "RLIMIT_FILES"),
        ("[children]\nuser = 'nobody-is-called-so'\n", "no user called"),
        ("[queues]\njs = 'nod'\n", "queues.js: no runtime is called 'nod'"),
        ("[runtimes.x]\nkind = 'java'\n", "runtimes"),
        ("[", "taskhand.toml"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "taskhand.toml"
    file.write_text(content)
    with pytest.raises(SettingsError, match=message):
        load({}, str(file), {})


def test_an_unknown_variable_of_a_known_section_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"TASKHAND_WORKER_SLOT: .* did you mean slots"):
        load({}, environ={"TASKHAND_WORKER_SLOT": "1"})
    load({}, environ={"TASKHAND_TI_ID": "what a child gets", "TASKHAND_FD": "3"})


def test_a_variable_of_a_section_that_was_misspelt_is_an_error_and_others_are_not_ours() -> None:
    with pytest.raises(SettingsError, match=r"TASKHAND_WROKER_SLOTS.*did you mean worker"):
        load({}, environ={"TASKHAND_WROKER_SLOTS": "3"})
    others = ("LOG_FD", "FD", "TI_ID", "RUN_ID", "TASK_ID", "TMPDIR", "SERVER", "TOKEN", "SECRET", "HOME", "FUZZ_CASES")
    assert load({}, environ={f"TASKHAND_{name}": "/tmp" for name in others}).settings.worker.slots == 8  # noqa: S108 - a value


def test_a_file_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: No such file or directory$"):
        load({}, str(tmp_path / "none.toml"), {})


def test_every_setting_is_shown_with_its_origin_and_no_secret_is() -> None:
    found = load({"worker.token": "geheim"}, environ={"TASKHAND_API_URL": "http://e"})
    lines = [str(each) for each in found.entries()]
    assert 'api.url = "http://e"  # TASKHAND_API_URL' in lines
    assert 'worker.token = "***"  # --token' in lines
    assert "worker.slots = 8  # default" in lines
    assert "geheim" not in "\n".join(lines)


def test_children_get_what_is_named_and_nothing_else() -> None:
    settings = load({"worker.state_dir": "/s", "keeper.env": {"A": "1"}}, environ={}).settings
    environ = {"PATH": "/bin", "TASKHAND_WORKER_TOKEN": "t", "AWS_SECRET_ACCESS_KEY": "s"}
    places = {"TASKHAND_BUNDLES": '{"local":"/"}', "TASKHAND_BLOBS": "/s/blobs"}
    assert child_environment(settings, environ) == {"PATH": "/bin", "A": "1", **places}


def test_logs_are_in_the_state_directory_unless_said_otherwise(tmp_path: Path) -> None:
    settings = load({"worker.state_dir": str(tmp_path)}, environ={}).settings
    assert settings.log_dir == tmp_path / "worker-logs"
    assert load({"worker.log_dir": "/l"}, environ={}).settings.log_dir == Path("/l")


def test_a_worker_has_a_name_a_host_and_a_user() -> None:
    name, host, user = identity(Settings())
    assert name.startswith(host)
    assert user


def test_what_children_may_use(tmp_path: Path) -> None:
    file = tmp_path / "taskhand.toml"
    file.write_text('[children]\nmemory = 1000\nuser = "root"\n[children.rlimits]\nnofile = 64\n')
    limits = load({}, str(file), {"TASKHAND_CHILDREN_PIDS": "5"}).settings.children.limits()
    assert (limits.memory, limits.pids, limits.rlimits) == (1000, 5, {"nofile": 64})
    assert limits.account is not None
    assert limits.account.uid == 0
    with pytest.raises(SettingsError, match="no user called"):
        load({"children.user": "nobody-is-called-so"}, environ={}).settings.children.limits()


def test_systemd_may_want_to_hear() -> None:
    assert notify_socket({"NOTIFY_SOCKET": "/x"}) == "/x"
    assert notify_socket({}) is None


def test_a_server_on_this_machine_has_left_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "server-url").write_text("http://127.0.0.1:1\n")
    assert load({}, environ={"TASKHAND_HOME": str(tmp_path)}).settings.worker.token is None
    (tmp_path / "worker-token").write_text("t\n")
    found = load({}, environ={"TASKHAND_HOME": str(tmp_path)})
    assert (found.settings.api.url, found.settings.worker.token) == ("http://127.0.0.1:1/execution", "t")
    assert found.origins["worker.token"] == str(tmp_path / "worker-token")
    assert found.origins["worker.state_dir"] == "TASKHAND_HOME"


def test_a_home_that_is_set_and_empty_is_as_if_it_were_not_set() -> None:
    """As it is for the server: a directory without a name would be the one where one happens to stand."""
    found = load({}, environ={"TASKHAND_HOME": ""})
    assert found.settings.state_dir == load({}, environ={}).settings.state_dir
    assert "worker.state_dir" not in found.origins


@pytest.mark.parametrize("flags", [{"worker.state_dir": ""}, {"worker.state_dir": " "}])
def test_a_state_directory_without_a_name_is_refused(flags: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=r"worker\.state_dir: a directory has a name"):
        load(flags, environ={})


def test_the_token_of_one_server_is_not_shown_to_another(tmp_path: Path) -> None:
    (tmp_path / "server-url").write_text("http://127.0.0.1:1")
    (tmp_path / "worker-token").write_text("t")
    settings = load({"api.url": "http://other", "worker.state_dir": str(tmp_path)}, environ={}).settings
    assert (settings.api.url, settings.worker.token) == ("http://other", None)
