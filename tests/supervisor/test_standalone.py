import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from msgspec import structs

from supervisor.standalone import Part, PartFailed, Standalone, parts_of
from tests.system.world import play

pytestmark = pytest.mark.slow

# A program that writes down what happens to it: it is ready, or not, and ends on SIGTERM.
PROGRAM = """
import os, signal, sys
name, log, act = sys.argv[1:4]
def note(what):
    with open(log, "a") as file:
        file.write(f"{what} {name}\\n")
fd = int(sys.argv[sys.argv.index("--ready-fd") + 1])
if act == "dies":
    sys.exit(7)
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1) if act != "deaf" else None)
note("start")
if act != "mute":
    os.write(fd, b"\\n")
while not ended:
    signal.pause()
note("stop")
"""


def parts(folder: Path, *acts: str) -> list[Part]:
    file = folder / "program.py"
    file.write_text(PROGRAM)
    command = (sys.executable, str(file))
    return [Part(f"p{n}", (*command, f"p{n}", str(folder / "log"), act), 0.5) for n, act in enumerate(acts)]


def log(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


def test_they_start_in_order_and_stop_in_reverse(tmp_path: Path) -> None:
    told: list[str] = []

    async def scenario() -> None:
        standalone = Standalone(parts(tmp_path, "good", "good"), told.append)

        def hear(text: str) -> None:
            told.append(text)
            os.kill(os.getpid(), signal.SIGTERM)

        standalone._tell = hear  # noqa: SLF001 - the moment of readiness is when to send the signal
        await standalone.run()

    play(scenario())
    assert told == ["ready"]
    assert log(tmp_path) == ["start p0", "start p1", "stop p1", "stop p0"]


@pytest.mark.parametrize(("act", "message"), [("dies", "p1 ended with 7"), ("mute", "p1 was not ready within")])
def test_one_that_does_not_come_up_ends_the_others(tmp_path: Path, act: str, message: str) -> None:
    with pytest.raises(PartFailed, match=message):
        play(Standalone(parts(tmp_path, "good", act), lambda _: None, ready_s=1.0).run())
    assert log(tmp_path)[0] == "start p0"
    assert log(tmp_path)[-1] == "stop p0"


def test_one_that_cannot_be_started_ends_the_others(tmp_path: Path) -> None:
    broken = Part("p1", ("/no/such/program",))
    with pytest.raises(PartFailed, match="could not be started"):
        play(Standalone([*parts(tmp_path, "good"), broken], lambda _: None).run())
    assert log(tmp_path) == ["start p0", "stop p0"]


def test_one_that_ends_unasked_ends_the_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        standalone = Standalone(parts(tmp_path, "good", "good"), lambda _: None)
        running = asyncio.ensure_future(standalone.run())
        while len(standalone._running) < 2 or log(tmp_path).count("start p1") == 0:  # noqa: SLF001 - whom to end
            await asyncio.wait([running], timeout=0.01)
        standalone._running[0][1].terminate()  # noqa: SLF001 - as above
        await running

    (tmp_path / "log").touch()
    with pytest.raises(PartFailed, match="p0 ended with 0 although nobody asked it to"):
        play(scenario())
    assert log(tmp_path)[-1] == "stop p1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_one_that_somebody_else_may_ask_ends_the_others_in_peace_when_it_did_what_it_was_asked(
    tmp_path: Path, number: int
) -> None:
    told: list[str] = []

    async def scenario() -> None:
        first, second = parts(tmp_path, "good", "good")
        standalone = Standalone([first, structs.replace(second, done="p1 is done")], told.append)
        running = asyncio.ensure_future(standalone.run())
        while "ready" not in told:
            await asyncio.wait([running], timeout=0.01)
        standalone._running[1][1].send_signal(number)  # noqa: SLF001 - whom to end
        await running

    if number == signal.SIGTERM:
        play(scenario())
        assert told == ["ready", "p1 is done"]
    else:
        with pytest.raises(PartFailed, match="p1 ended with -9 although nobody asked it to"):
            play(scenario())
    assert log(tmp_path)[-1] == "stop p0"


def test_one_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    told: list[str] = []

    async def scenario() -> None:
        standalone = Standalone(parts(tmp_path, "deaf"), told.append)
        running = asyncio.ensure_future(standalone.run())
        while "ready" not in told:
            await asyncio.wait([running], timeout=0.01)
        standalone.stop()
        standalone.stop()
        await running

    play(scenario())
    assert told == ["ready", "p0 did not end within 0.5 s and is killed"]


def test_a_machine_has_a_server_and_a_worker_that_finds_it(tmp_path: Path) -> None:
    server, worker = parts_of("python", tmp_path, 0, ["--slots", "3"])
    assert server.argv[3:] == ("server", "--home", str(tmp_path), "--port", "0")
    assert worker.argv[3:] == ("run", "--state-dir", str(tmp_path), "--slots", "3")
