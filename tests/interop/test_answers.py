"""The table `ANSWERS` against their real handlers: every question, with the API server well, and with each refusal.

Expected is what the table says: the reply's type (or an empty frame), and for a refusal whether it comes back as an
answer (body slot) or as a failure (error slot). Where theirs does otherwise, `differences.toml` says why ours does not.
"""

from collections.abc import Iterator

import pytest

from protocol.codec import Unreadable
from protocol.messages.control import ErrorResponse, ErrorType
from protocol.messages.runs import TriggerDagRun
from protocol.messages.shape import Message
from protocol.session import Answered, Failed, Greeted, RunnerSession, SupervisorSession, Told
from protocol.versions import exists
from protocol.vocabulary import ANSWERS, OURS, TASK, TRIGGERER, Vocabulary
from tests.interop.differences import assert_listed
from tests.interop.lines import OurRunner, met
from tests.interop.peers import Peer
from tests.protocol.samples import GREETING, full

pytestmark = [pytest.mark.interop, pytest.mark.slow]

REFUSALS = {
    401: {ErrorType.PERMISSION_DENIED},
    403: {ErrorType.PERMISSION_DENIED},
    404: {each for each in ErrorType if each.endswith("_NOT_FOUND")},
    409: {ErrorType.DAGRUN_ALREADY_EXISTS},
    500: set(),
}
"""Which errors of the table a status of the API server may become; any other goes to the error slot."""

SAMPLES: dict[type[Message], Message] = {TriggerDagRun: TriggerDagRun("flow", "run")}
"""With `reset_dag_run`, a run that exists is no refusal."""


def questions(vocabulary: Vocabulary, version: str) -> list[type[Message]]:
    known = (each for each in vocabulary.questions - OURS if exists(each.__name__, version))
    return sorted(known, key=lambda each: each.__name__)


def expected(question: type[Message], status: int, *, remote: bool) -> str:
    """Say in a word what the table promises."""
    answer = ANSWERS[question]
    if status == 200 or not remote:
        return answer.reply.__name__
    return next((str(each) for each in answer.instead if each in REFUSALS[status]), "error slot")


def came(told: Told, number: int) -> str:
    """Say in a word what came."""
    assert isinstance(told, Answered | Failed | Unreadable), told
    assert told.id == number
    if isinstance(told, Unreadable):
        return f"unreadable: {told.fault}"
    if isinstance(told, Failed):
        return "error slot"
    return str(told.reply.error) if isinstance(told.reply, ErrorResponse) else type(told.reply).__name__


def tried(peer: Peer, address: str, vocabulary: Vocabulary, status: int) -> Iterator[dict[str, str]]:
    """Ask everything; give what came otherwise than the table says."""
    for place, question in enumerate(questions(vocabulary, peer.wire)):
        with met(peer, f"{address}{place}", "supervise", triggers=vocabulary is TRIGGERER) as channel:
            peer.hear()
            runner = OurRunner(RunnerSession(vocabulary, peer.wire), channel)
            greeting = GREETING if vocabulary is TASK else full(vocabulary.greeting)
            (greeted,) = runner.session.receive(SupervisorSession(vocabulary, peer.wire).greet(greeting))
            assert isinstance(greeted, Greeted)
            number, frame = runner.session.ask(SAMPLES.get(question) or full(question))
            channel.sendall(frame)
            requests = peer.do("serve", status=status)["requests"]
            word = came(runner.told(), number)
            if word != expected(question, status, remote=bool(requests)):
                yield {"message": question.__name__, "came": word}
            peer.do("end")


def test_each_question_is_answered_as_the_table_says(peer: Peer, address: str) -> None:
    found = [
        {"vocabulary": name, "status": str(status), **each}
        for name, vocabulary in {"task": TASK, "triggerer": TRIGGERER}.items()
        for status in (200, *REFUSALS)
        for each in tried(peer, f"{address}{name}{status}", vocabulary, status)
    ]
    assert_listed("answers", peer.version, found)
