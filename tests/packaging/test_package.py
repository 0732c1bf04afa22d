"""What is built and installed: the wheel, in an empty environment of every Python here that we support.

`make package` runs it. It needs a package index for the dependencies, and so it is no part of the default run.
"""

import asyncio
import email
import json
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from bench.minimal_api import MinimalApi
from tests.architecture.layout import PACKAGES, ROOT, files, pyproject
from tests.supervisor.test_sources import envelope
from tests.system.world import play

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

SUPPORTED = ("3.11", "3.12", "3.13")
UV = str(Path(sys.executable).with_name("uv"))
FLOW = """
from runner import Context, flow, task

@task
def one(ctx: Context) -> int:
    return ctx.try_number

@flow
def only() -> None:
    one()
"""


def interpreter(version: str) -> str | None:
    """Find a Python here: ours, the system's, pyenv's. None is started, as this runs with every collection."""
    folders = [Path(sys.base_prefix, "bin"), Path("/usr/local/bin"), Path("/usr/bin")]
    folders += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin"))
    return next((str(file) for folder in folders if (file := folder / f"python{version}").is_file()), None)


PYTHONS = {version: found for version in SUPPORTED if (found := interpreter(version))}


class Built(NamedTuple):
    wheel: Path
    source: Path


class Installed:
    """An environment that has the wheel, and nothing of this repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"

    def run(self, *arguments: str, **more: Any) -> "subprocess.CompletedProcess[str]":
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "TASKHAND_HOME": str(self.folder / "home")}
        command = [str(self.python.with_name("worker")), *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=300, check=False, **more
        )

    def distributions(self) -> set[str]:
        listed = subprocess.run(
            [UV, "pip", "list", "--python", str(self.python), "--format=json"], capture_output=True, check=True
        )
        return {each["name"] for each in json.loads(listed.stdout)}


def installed(folder: Path, python: str, what: str) -> Installed:
    found = Installed(folder)
    subprocess.run([UV, "--quiet", "venv", "--python", python, str(folder / "venv")], check=True)
    install = [UV, "--quiet", "--system-certs", "pip", "install", "--python", str(found.python), what]
    subprocess.run(install, check=True)
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([UV, "--quiet", "build", "--no-build-isolation", "--out-dir", str(folder)], cwd=ROOT, check=True)
    [wheel], [source] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel, source)


@pytest.fixture(scope="module", params=PYTHONS)
def place(request: pytest.FixtureRequest, built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return installed(tmp_path_factory.mktemp("core"), PYTHONS[request.param], str(built.wheel))


def test_the_wheel_has_our_packages_whole_and_nothing_else(built: Built) -> None:
    names = {name for name in zipfile.ZipFile(built.wheel).namelist() if ".dist-info/" not in name}
    ours = [
        file for package in PACKAGES for suffix in (".py", ".sql", ".typed") for file in files(package, suffix=suffix)
    ]
    assert names == {str(file.relative_to(ROOT)) for file in ours}
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


def test_its_metadata_say_licence_python_and_dependencies(built: Built) -> None:
    wheel = zipfile.ZipFile(built.wheel)
    [name] = [name for name in wheel.namelist() if name.endswith("METADATA")]
    said = email.message_from_bytes(wheel.read(name))
    assert (said["License-Expression"], said["Requires-Python"]) == ("Apache-2.0", ">=3.11")
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
    core = [each for each in said.get_all("Requires-Dist", []) if "extra ==" not in each]
    assert len(core) == len(pyproject()["project"]["dependencies"])
    assert said.get_payload().startswith("# Taskhand")  # type: ignore[union-attr]  # a message of one part is text


def test_the_source_distribution_makes_the_same_wheel(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.source) as archive:
        archive.extractall(tmp_path, filter="data")
    [folder] = tmp_path.iterdir()
    command = [UV, "--quiet", "build", "--wheel", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([*command, "--out-dir", str(tmp_path), str(folder)], check=True)
    [again] = tmp_path.glob("*.whl")
    assert {*zipfile.ZipFile(again).namelist()} == {*zipfile.ZipFile(built.wheel).namelist()}


def test_the_core_is_small(place: Installed) -> None:
    assert len(place.distributions()) <= 20
    assert not place.distributions() & {"litestar", "uvicorn", "psycopg", "celery"}


def test_it_says_its_version(place: Installed) -> None:
    assert place.run("--version").stdout == f"taskhand {pyproject()['project']['version']}\n"


def test_the_doctor_finds_it_well(place: Installed) -> None:
    done = place.run("doctor")
    assert done.returncode == 0, done.stdout
    assert "problem" not in done.stdout
    assert "pip install 'taskhand[server]'" in done.stdout


def test_a_command_whose_extra_is_absent_says_what_to_install(place: Installed) -> None:
    done = place.run("server")
    assert (done.returncode, "pip install 'taskhand[server]'" in done.stderr) == (2, True)


def test_it_carries_out_a_workload(place: Installed) -> None:
    file = place.folder / "flow.py"
    file.write_text(FLOW)

    async def scenario() -> tuple[int, dict[str, Any], list[Any]]:
        api = MinimalApi()
        url = await api.start()
        given = envelope(1) | {"lease": {"seconds": 30.0, "fence": 1}, "dag_rel_path": str(file)[1:]}
        given["ti"] = given["ti"] | {"task_id": "one", "dag_id": "only"}
        api.states[given["ti"]["id"]] = "queued"
        text = msgspec.json.encode(given).decode()
        done = await asyncio.to_thread(place.run, "exec", "--json-string", text, "--api", url, "--json")
        await api.stop()
        return done.returncode, json.loads(done.stdout.splitlines()[-1]), [*api.states.values()]

    code, line, states = play(scenario())
    assert (code, line["outcome"], line["reported"], states) == (0, "success", True, ["success"])


def test_whoever_writes_tasks_has_types(place: Installed) -> None:
    file = place.folder / "typed.py"
    file.write_text(textwrap.dedent(FLOW) + "\nreveal_type(only)\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(place.python), str(file)]
    done = subprocess.run(command, cwd=place.folder, capture_output=True, text=True, check=False)
    assert 'Revealed type is "runner.authoring.Flow"' in done.stdout, done.stdout
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("version", PYTHONS)
def test_the_tour_is_given_from_the_wheel(built: Built, tmp_path: Path, version: str) -> None:
    place = installed(tmp_path, PYTHONS[version], f"taskhand[server] @ {built.wheel.as_uri()}")
    done = place.run("demo", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_known_which_pythons_were_tried(record_property: Any) -> None:
    record_property("pythons", ", ".join(PYTHONS))
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" in PYTHONS
