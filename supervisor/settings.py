"""Settings: read once, at the edge, into frozen structs that are passed in.

Four layers, each over the one before: defaults, the file (`taskhand.toml`), the environment (`TASKHAND_SECTION_KEY`),
flags. Where none says which server, the one on this machine has left its URL and a token in the state directory. A key
that is not known is an error, and names the one that was probably meant: a setting that is silently not read is worse
than none. `--show-settings` prints every value with where it came from.
"""

import getpass
import hashlib
import os
import resource
import socket
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field, structs

from supervisor.logs import LogSettings
from supervisor.runtimes import BUILT_IN, Runtime
from supervisor.sections import (
    ApiSettings,
    CheckpointSettings,
    ChildSettings,
    JournalSettings,
    KeeperOptions,
    LimitSettings,
    SettingsError,
    WorkerSettings,
)
from supervisor.stopping import Graces
from supervisor.tenure import Outage

FILE = "taskhand.toml"
PREFIX = "TASKHAND_"
OTHERS = frozenset({"server", "triggerer"})
"""Tables of the same file that other programs read."""
SECRETS = frozenset({"worker.token"})


LASTING = "/var/tmp"  # noqa: S108 - what is made there is looked at before it is used
"""Where anybody may have a directory that is there after a reboot."""
NOT_SETTINGS = frozenset({"TASKHAND_LOG_FD"})
"""Variables that look like a setting's: a child has it, and may call `worker` itself."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All of it."""

    api: ApiSettings = ApiSettings()
    worker: WorkerSettings = WorkerSettings()
    limits: LimitSettings = LimitSettings()
    graces: Graces = Graces()
    outage: Outage = Outage()
    checkpoints: CheckpointSettings = CheckpointSettings()
    keeper: KeeperOptions = KeeperOptions()
    logs: LogSettings = LogSettings()
    journal: JournalSettings = JournalSettings()
    children: ChildSettings = ChildSettings()
    runtimes: Mapping[str, Runtime] = field(default_factory=dict)
    queues: Mapping[str, str] = field(default_factory=dict)
    """Queue to runtime."""
    bundles: Mapping[str, str] = field(default_factory=lambda: {"local": "/"})
    """Bundle to root directory."""

    @property
    def state_dir(self) -> Path:
        """Where what outlives a worker is kept."""
        return Path(self.worker.state_dir).expanduser()

    @property
    def blobs(self) -> str:
        """Where checkpoints' files are."""
        return self.checkpoints.blobs or str(self.state_dir / "blobs")

    @property
    def own_dir(self) -> Path:
        """Where children leave what outlives them: the state directory, which an account of their own cannot enter."""
        return self.state_dir if self.children.user is None else self.apart(LASTING)

    @property
    def child_blobs(self) -> str:
        """Where children find checkpoints' files and leave them. Where nobody says it, it has to be their account's."""
        return self.checkpoints.blobs or str(self.own_dir / "blobs")

    def apart(self, parent: str) -> Path:
        """Name a directory of this worker's for accounts that cannot enter the state directory."""
        return Path(parent, f"taskhand-{hashlib.sha256(str(self.state_dir.resolve()).encode()).hexdigest()[:12]}")

    @property
    def log_dir(self) -> Path:
        """Where the attempts' logs are."""
        return Path(self.worker.log_dir).expanduser() if self.worker.log_dir else self.state_dir / "worker-logs"

    def runtime(self, name: str | None, queue: str) -> Runtime:
        """Route: by the workload's own word, then by queue, then ours."""
        wanted = name or self.queues.get(queue, "python")
        found = self.runtimes.get(wanted) or BUILT_IN.get(wanted)
        if found is None:
            raise SettingsError(f"no runtime is called {wanted!r}{_nearest(wanted, {*self.runtimes, *BUILT_IN})}")
        return found


def doors_of(settings: Settings) -> str:
    """Say where keepers wait for the next worker of a state directory."""
    return str(settings.state_dir / "keepers")


class Loaded(Struct, frozen=True):
    """The settings, and where each that is not a default came from."""

    settings: Settings
    origins: Mapping[str, str]

    def entries(self) -> "Iterator[Entry]":
        """Give every setting, its value and its origin. A secret is only said to be there."""
        for name, value in _flat(msgspec.to_builtins(self.settings)):
            shown = "***" if name in SECRETS and value is not None else value
            yield Entry(name, shown, self.origins.get(name, "default"))


class Entry(Struct, frozen=True):
    """A setting as it is shown."""

    name: str
    value: object
    origin: str

    def __str__(self) -> str:
        return f"{self.name} = {msgspec.json.encode(self.value).decode()}  # {self.origin}"


_SECTIONS: dict[str, type[Struct]] = {
    "api": ApiSettings,
    "worker": WorkerSettings,
    "limits": LimitSettings,
    "graces": Graces,
    "outage": Outage,
    "checkpoints": CheckpointSettings,
    "keeper": KeeperOptions,
    "logs": LogSettings,
    "journal": JournalSettings,
    "children": ChildSettings,
}
_MAPS = frozenset({"runtimes", "queues", "bundles"})


def load(flags: Mapping[str, object], file: str | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read all layers. `flags` are by dotted name; those that are None were not given."""
    variables = os.environ if environ is None else environ
    merged: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    home = variables.get(f"{PREFIX}HOME")
    if home:  # set and empty is as if it were not set, as for the server: a shell's `VAR=` is no directory
        merged, origins = {"worker": {"state_dir": home}}, {"worker.state_dir": f"{PREFIX}HOME"}
    for layer in (_file(file or variables.get(f"{PREFIX}CONFIG")), _environment(variables), _flags(flags)):
        for name, (value, origin) in layer.items():
            section, _, key = name.partition(".")
            merged.setdefault(section, {})[key] = value
            origins[name] = origin
    for name, (value, origin) in _left_by_the_server(merged, set(origins)).items():
        section, _, key = name.partition(".")
        merged.setdefault(section, {})[key] = value
        origins[name] = origin
    try:
        settings = msgspec.convert(merged, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{_blame(str(error), origins)}") from error
    _meant(settings)
    return Loaded(settings, origins)


def _meant(settings: Settings) -> None:
    """Find out now, and not with the first attempt, whether what is named exists."""
    for queue, name in settings.queues.items():
        try:
            settings.runtime(name, queue)
        except SettingsError as error:
            raise SettingsError(f"queues.{queue}: {error}") from error
    known = {name.removeprefix("RLIMIT_").lower() for name in vars(resource) if name.startswith("RLIMIT_")}
    for name in settings.children.rlimits:
        if name not in known:
            raise SettingsError(f"children.rlimits: there is no RLIMIT_{name.upper()}{_nearest(name, known)}")
    settings.children.limits()
    if not settings.worker.state_dir.strip():
        raise SettingsError("worker.state_dir: a directory has a name; leave it unset for ~/.taskhand")


Layer = dict[str, tuple[object, str]]


def _file(name: str | None) -> Layer:
    path = Path(name or FILE)
    if name is None and not path.is_file():
        return {}
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from error
    layer: Layer = {}
    for section, table in content.items():
        if section in OTHERS:
            continue
        if section not in _SECTIONS and section not in _MAPS:
            raise SettingsError(f"{path}: unknown table [{section}]{_nearest(section, {*_SECTIONS, *_MAPS, *OTHERS})}")
        if not isinstance(table, dict):
            raise SettingsError(f"{path}: {section} is a table: [{section}]")
        for key, value in table.items():
            _known(section, key, str(path))
            layer[f"{section}.{key}"] = (value, str(path))
    return layer


def _environment(variables: Mapping[str, str]) -> Layer:
    layer: Layer = {}
    for variable, value in variables.items():
        section, _, key = variable.removeprefix(PREFIX).lower().partition("_")
        if variable.startswith(PREFIX) and variable not in NOT_SETTINGS and section not in _SECTIONS:
            meant = get_close_matches(section, sorted(_SECTIONS), 1, 0.8)
            if meant and key:
                raise SettingsError(f"{variable}: unknown section {section}; did you mean {meant[0]}?")
        if variable.startswith(PREFIX) and section in _SECTIONS:
            _known(section, key, variable)
            kind = structs.fields(_SECTIONS[section])
            many = any(each.name == key and "tuple" in str(each.type) for each in kind)
            layer[f"{section}.{key}"] = ([part for part in value.split(",") if part] if many else value, variable)
    return layer


def _flags(flags: Mapping[str, object]) -> Layer:
    return {name: (value, f"--{name.rpartition('.')[2]}") for name, value in flags.items() if value is not None}


def _left_by_the_server(merged: Mapping[str, Mapping[str, Any]], given: set[str]) -> Layer:
    """Give the URL and the worker's token that a server on this machine has left in its state directory.

    Only together: the token of one server is not shown to another.
    """
    if given & {"api.url", "worker.token"}:
        return {}
    home = Path(str(merged.get("worker", {}).get("state_dir", WorkerSettings().state_dir))).expanduser()
    try:
        url, token = (home / "server-url").read_text().strip(), (home / "worker-token").read_text().strip()
    except OSError:
        return {}
    left = {"api.url": (f"{url}/execution", home / "server-url"), "worker.token": (token, home / "worker-token")}
    return {name: (value, str(origin)) for name, (value, origin) in left.items()}


def _known(section: str, key: str, where: str) -> None:
    if section in _MAPS:
        return
    names = {each.name for each in structs.fields(_SECTIONS[section])}
    if key not in names:
        raise SettingsError(f"{where}: unknown key {section}.{key}{_nearest(key, names)}")


def _nearest(name: str, names: set[str]) -> str:
    found = get_close_matches(name, sorted(names), 1, 0.5)
    return f"; did you mean {found[0]}?" if found else f"; known are {', '.join(sorted(names))}"


def _blame(error: str, origins: Mapping[str, str]) -> str:
    name = error.rpartition("`$.")[2].rstrip("`").partition("[")[0]
    origin = next((where for key, where in origins.items() if key == name or name.startswith(f"{key}.")), "")
    return f"{origin}: {error}" if origin else error


def _flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and (value or not name):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def child_environment(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the whole environment of keeper and children: what is passed on by name, what is set, and where things are.

    The last are for our runner, which reads `TASKHAND_BUNDLES` and `TASKHAND_BLOBS`.
    """
    variables, options = os.environ if environ is None else environ, settings.keeper
    passed = {name: variables[name] for name in options.pass_env if name in variables}
    places = {
        f"{PREFIX}BUNDLES": msgspec.json.encode(settings.bundles).decode(),
        f"{PREFIX}BLOBS": settings.child_blobs,
    }
    return passed | places | dict(options.env)


def secluded(home: Path) -> dict[str, str]:
    """Give the environment of programs of ours that are to know this folder, and no server or settings but its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)} | {
        f"{PREFIX}HOME": str(home)
    }


def identity(settings: Settings) -> tuple[str, str, str]:
    """Say who we are: the worker's name, its host, its user."""
    host = socket.gethostname()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in many containers
        user = str(os.getuid())
    return settings.worker.name or f"{host}-{os.getpid()}", host, user


def crash_point(environ: Mapping[str, str] | None = None) -> str | None:
    """Say where a test wants this process to die."""
    return (os.environ if environ is None else environ).get(f"{PREFIX}CRASH")


def notify_socket(environ: Mapping[str, str] | None = None) -> str | None:
    """Say where systemd wants to hear that we are ready, if it does."""
    return (os.environ if environ is None else environ).get("NOTIFY_SOCKET")
