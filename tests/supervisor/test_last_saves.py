"""A record that the server cannot be given in time goes with the word that ends the attempt."""

import asyncio
from datetime import UTC, datetime

import pytest

from protocol.messages.checkpoints import CheckpointSaved, CheckpointTask, SaveCheckpoint, StopReason, StopRequest
from protocol.messages.outcomes import SucceedTask, TaskState
from protocol.messages.shape import Message
from supervisor.answers.checkpoints import NOT_YET
from supervisor.handlers import answer
from tests.supervisor.desks import FakeDesk, found

NOW = datetime(2026, 1, 2, tzinfo=UTC)
STOP = StopRequest(StopReason.FENCED, NOW)
RECORD = SaveCheckpoint(data={"step": 3}, progress=3.0, fingerprint="f")


async def cut_short(desk: FakeDesk) -> Message | None:
    """Save while nobody answers, and a stop comes."""
    gone = asyncio.Event()

    async def nobody(*_: object) -> None:
        gone.set()
        await asyncio.Event().wait()

    desk.wire.exchange = nobody  # type: ignore[method-assign,assignment]  # the network of this desk is cut
    saving = asyncio.ensure_future(answer(desk, RECORD))
    await gone.wait()
    desk.api.client._gate.failed(probe=False)  # noqa: SLF001 - what another call has found
    desk.stop = STOP
    return await saving


@pytest.mark.parametrize(
    ("word", "told"),
    [
        (CheckpointTask(NOW), CheckpointTask(NOW, data={"step": 3}, progress=3.0, fingerprint="f")),
        (CheckpointTask(NOW, data={"step": 4}), CheckpointTask(NOW, data={"step": 4})),
        (SucceedTask(NOW), SucceedTask(NOW)),
    ],
)
def test_it_goes_with_a_word_that_has_no_record_of_its_own(word: Message, told: Message) -> None:
    async def scenario() -> FakeDesk:
        desk = FakeDesk()
        assert await cut_short(desk) == CheckpointSaved(NOT_YET, stopping=True)
        await answer(desk, word)
        return desk

    assert asyncio.run(scenario()).noted == [told]


def test_a_foreign_runtime_s_word_takes_it_along_too() -> None:
    async def scenario() -> FakeDesk:
        desk = FakeDesk()
        await cut_short(desk)
        await answer(desk, TaskState("checkpointed", NOW))
        return desk

    (told,) = asyncio.run(scenario()).noted
    assert isinstance(told, CheckpointTask)
    assert (told.data, told.progress) == ({"step": 3}, 3.0)


def test_one_that_is_saved_after_all_goes_with_nothing() -> None:
    async def scenario() -> FakeDesk:
        desk = FakeDesk(found(b'{"seq":7}'))
        desk.api.unsaved = RECORD
        assert await answer(desk, RECORD) == CheckpointSaved(7)
        await answer(desk, CheckpointTask(NOW))
        return desk

    assert asyncio.run(scenario()).noted == ["saved", CheckpointTask(NOW)]
