"""The line before an API: who goes first, who may leave it, and when all may go."""

import asyncio

import pytest

from supervisor.circuit import Circuit, CircuitPolicy
from supervisor.gate import Gate

QUICK = CircuitPolicy(faults=1, first_s=0.01, longest_s=0.02, each_s=0.001, spread_s=0.05)


def shut(policy: CircuitPolicy = QUICK) -> Gate:
    gate = Gate(Circuit(b"seed", policy))
    gate.failed(probe=False)
    assert gate.shut
    return gate


def test_an_open_gate_keeps_nobody() -> None:
    async def scenario() -> bool:
        gate = Gate(Circuit(b"seed"))
        assert (gate.shut, gate.away_since, gate.waiting) == (False, None, 0)
        return await gate.turn(None, vital=True)

    assert asyncio.run(scenario()) is False


def test_what_is_vital_is_the_probe_and_the_others_wait_for_its_answer() -> None:
    async def scenario() -> list[tuple[str, bool]]:
        gate, order = shut(), list[tuple[str, bool]]()

        async def call(name: str, *, vital: bool) -> None:
            probe = await gate.turn(None, vital=vital)
            order.append((name, probe))
            if probe:
                assert gate.waiting == 20
                gate.answered()

        calls = [asyncio.ensure_future(call(f"question {number}", vital=False)) for number in range(20)]
        calls.append(asyncio.ensure_future(call("beat", vital=True)))
        await asyncio.gather(*calls)
        assert (gate.shut, gate.away_since, gate.waiting) == (False, None, 0)
        return order

    order = asyncio.run(scenario())
    assert order[0] == ("beat", True)
    assert [probe for _, probe in order[1:]] == [False] * 20


def test_each_that_fails_as_the_probe_is_followed_by_the_next() -> None:
    async def scenario() -> list[int]:
        gate, tried = shut(), list[int]()

        async def call(number: int) -> None:
            while await gate.turn(None, vital=False):
                tried.append(number)
                if len(tried) == 7:
                    gate.answered()
                    return
                gate.failed(probe=True)

        await asyncio.gather(*map(call, range(3)))
        return tried

    assert asyncio.run(scenario()) == [0, 1, 2, 0, 1, 2, 0]


def test_a_probe_that_hangs_is_followed_by_another() -> None:
    async def scenario() -> list[bool]:
        gate = shut()
        return [await gate.turn(None, vital=True), await gate.turn(None, vital=True)]

    assert asyncio.run(scenario()) == [True, True]


def test_who_does_not_want_to_wait_longer_leaves_the_line() -> None:
    async def scenario() -> None:
        gate = shut(CircuitPolicy(faults=1, first_s=60.0, longest_s=60.0))
        with pytest.raises(TimeoutError):
            await gate.turn(0.01, vital=True)
        waiting = asyncio.ensure_future(gate.turn(None, vital=True))
        await asyncio.sleep(0)
        assert gate.waiting == 1
        waiting.cancel()
        await asyncio.wait([waiting])
        assert gate.waiting == 0
        gate.answered()

    asyncio.run(scenario())


def test_whoever_finds_the_gate_shut_again_stands_in_line_again() -> None:
    async def scenario() -> int:
        gate = shut()
        calls = [asyncio.ensure_future(gate.turn(None, vital=False)) for _ in range(5)]
        await asyncio.sleep(0)
        gate.answered()
        gate.failed(probe=False)
        done, left = await asyncio.wait(calls, timeout=0.5)
        assert all(each.result() for each in done)  # each of them as a probe, of which nothing was heard
        for each in left:
            each.cancel()
        return len(done)

    assert asyncio.run(scenario()) == 5


@pytest.mark.parametrize("first", [True, False], ids=["called off first", "called up first"])
def test_a_probe_that_was_called_off_in_the_moment_of_its_turn_is_another_ones(*, first: bool) -> None:
    async def scenario() -> bool:
        circuit = Circuit(b"seed", CircuitPolicy(faults=1, first_s=0.01, longest_s=60.0))
        gate, loop = Gate(circuit), asyncio.get_running_loop()
        gate.failed(probe=False)
        waiting = [asyncio.ensure_future(gate.turn(None, vital=vital)) for vital in (True, False)]
        # Timers of one moment go off in one turn of the loop, in the order in which they were set: the gate's with
        # the first that waits.
        if first:
            loop.call_at(circuit.until, waiting[0].cancel)
        await asyncio.sleep(0)
        if not first:
            loop.call_at(circuit.until, waiting[0].cancel)
        done, _ = await asyncio.wait(waiting, timeout=5.0, return_when=asyncio.ALL_COMPLETED)
        assert waiting[0].cancelled()
        return waiting[1] in done and waiting[1].result()

    assert asyncio.run(scenario())
