"""What a message costs on its way: ours, Airflow's own path (pydantic and msgspec), and msgspec alone.

A 200-byte question (GetXCom) and its reply, in nanoseconds. Airflow's way in is its frame decoder and its validation of
the body against the union of its messages; its way out is `model_dump()` and its frame encoder. Each peer runs in an
environment of its own (`make interop` makes them), in turn with ours.
"""

import subprocess
import sys
import timeit
from collections.abc import Callable

from bench.harness import Row, emit, median_and_spread
from protocol.codec import Codec, Question, Reply, frame_decoder
from protocol.frames import FrameReader, encode_frame
from protocol.messages.shape import Message
from protocol.messages.xcoms import GetXCom, XComResult
from protocol.session import SupervisorSession
from protocol.values import encoder
from protocol.vocabulary import TASK
from tests.interop.peers import VERSIONS, python_of
from tests.protocol.samples import GREETING

ASK = GetXCom("return_value", "a_dag_of_some_length", "manual__2026-11-20T05:28:45.389944+00:00", "extract_the_rows")
ANSWER = XComResult("return_value", {"table": "x" * 90, "rows": 12_345, "from": "the warehouse"})
NUMBER = 7
EACH = 3
"""A peer's program needs seconds to import Airflow, so it has a turn in each third round."""

PEER = """
import sys, timeit
from pydantic import TypeAdapter
import msgspec
from airflow.sdk.execution_time.comms import (
    GetXCom, ToSupervisor, ToTask, XComResult, _RequestFrame, _ResponseFrame)
times = int(sys.argv[1])
ask = GetXCom(key="return_value", dag_id="a_dag_of_some_length", task_id="extract_the_rows",
              run_id="manual__2026-11-20T05:28:45.389944+00:00")
answer = XComResult(type="XComResult", key="return_value",
                    value={"table": "x" * 90, "rows": 12345, "from": "the warehouse"})
questions, replies = TypeAdapter(ToSupervisor), TypeAdapter(ToTask)
as_question, as_reply = msgspec.msgpack.Decoder(_RequestFrame), msgspec.msgpack.Decoder(_ResponseFrame)
put = lambda: bytes(_RequestFrame(id=7, body=ask.model_dump()).as_bytes())
give = lambda: bytes(_ResponseFrame(7, answer.model_dump(exclude_unset=True)).as_bytes())
asked, given = put()[4:], give()[4:]
take = lambda: questions.validate_python(as_question.decode(asked).body)
get = lambda: replies.validate_python(as_reply.decode(given).body)
for path in (put, take, give, get):
    print(min(timeit.repeat(path, number=times, repeat=3)) / times * 1e9)
"""


def paths() -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """Give each way a message goes: ours, and msgspec's bare work on the same bytes."""
    asked, given = encode_frame((NUMBER, ASK, None)), encode_frame((NUMBER, ANSWER, None))
    reader = FrameReader()
    questions: Codec[Question[Message]] = Codec(Question, TASK)
    replies: Codec[Reply[Message]] = Codec(Reply, TASK)
    as_question = frame_decoder(asked=True, members=TASK.questions)
    as_reply = frame_decoder(asked=False, members=TASK.replies | {TASK.greeting})
    session = SupervisorSession()
    session.greet(GREETING)

    def in_and_out() -> None:
        questions.read(reader.feed(asked)[0])
        encode_frame((NUMBER, ANSWER, None))

    def bare_in_and_out() -> None:
        as_question.decode(asked[4:])
        encoder.encode((NUMBER, ANSWER, None))

    def conversation() -> None:
        session.receive(asked)
        session.answer(NUMBER, ANSWER)

    return {
        "question out": (lambda: encode_frame((NUMBER, ASK, None)), lambda: encoder.encode((NUMBER, ASK, None))),
        "question in": (lambda: questions.read(reader.feed(asked)[0]), lambda: as_question.decode(asked[4:])),
        "reply out": (lambda: encode_frame((NUMBER, ANSWER, None)), lambda: encoder.encode((NUMBER, ANSWER, None))),
        "reply in": (lambda: replies.read(reader.feed(given)[0]), lambda: as_reply.decode(given[4:])),
        "a frame read, decoded, encoded and written": (in_and_out, bare_in_and_out),
        "the same through a session, each answered once": (conversation, bare_in_and_out),
    }


def nanoseconds(path: Callable[[], object], times: int) -> float:
    """Give the best of three: what disturbs a loop only ever makes it slower."""
    return min(timeit.repeat(path, number=times, repeat=3)) / times * 1e9


def peer(version: str, times: int) -> list[float]:
    """Time Airflow's four ways, in its own environment."""
    command = [str(python_of(version)), "-c", PEER, str(times)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.splitlines() if line.replace(".", "").isdigit()]


def main(arguments: list[str]) -> None:
    """Measure in turn, and print."""
    runs, times = (3, 20_000) if "--quick" in arguments else (7, 50_000)
    ways = paths()
    ours: dict[str, list[float]] = {name: [] for name in ways}
    floors: dict[str, list[float]] = {name: [] for name in ways}
    theirs: dict[str, list[list[float]]] = {version: [] for version in VERSIONS}
    for number in range(runs):
        for name, (path, bare) in ways.items():
            ours[name].append(nanoseconds(path, times))
            floors[name].append(nanoseconds(bare, times))
        for version in VERSIONS if number % EACH == 0 else ():
            theirs[version].append(peer(version, times // 10))
    rows = [row(name, index, ours[name], floors[name], theirs) for index, name in enumerate(ways)]
    emit(rows, arguments)
    if "--json" not in arguments:
        for each in rows:
            ratios = ", ".join(f"{value / each.ours:.1f} x faster than {name}" for name, value in each.peers.items())
            print(f"  {each.name}: {each.ours / (each.floor or 1):.2f} x the floor{ratios and '; ' + ratios}")


def row(name: str, index: int, ours: list[float], floors: list[float], theirs: dict[str, list[list[float]]]) -> Row:
    """Put one way's medians side by side."""
    value, spread = median_and_spread(ours)
    peers = {
        f"airflow {version}": median_and_spread([run[index] for run in runs])[0]
        for version, runs in theirs.items()
        if index < len(runs[0])
    }
    return Row(name, "ns", value, peers, median_and_spread(floors)[0], len(ours), spread)


if __name__ == "__main__":
    main(sys.argv[1:])
