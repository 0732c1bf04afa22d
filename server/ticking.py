"""The engine's pulse: let happen what is due, then wait until something changes or something comes due.

It is one task of the server's loop. A tick that fails is logged and tried again, less and less often: a database that
is away must not take the server's pulse with it. After a time in which nobody was heard, leases begin anew before
anything is taken for lost (`server.listening`).
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from server.deck import Deck
from server.faults import StoreError
from server.filters import Retention
from server.listening import Listening

log = logging.getLogger("server")

LONGEST_WAIT_S = 5.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0
PRUNE_EVERY_S = 600.0
MISSED_BEATS = 0.25
"""Of a lease: a worker says that it lives at least this often."""


@contextlib.asynccontextmanager
async def ticking(deck: Deck, retention: Retention) -> AsyncIterator[None]:
    """Keep the pulse while this is open."""
    tasks = [asyncio.create_task(_pulse(deck)), asyncio.create_task(_prune(deck, retention))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pulse(deck: Deck) -> None:
    pause = FIRST_PAUSE_S
    listening = Listening(timedelta(seconds=deck.limits.lease_s * MISSED_BEATS))
    while True:
        try:
            await _until_quiet(deck, listening)
            pause = FIRST_PAUSE_S
        except StoreError as error:
            log.warning("tick: %s", error)
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_S, pause * 2)
        except Exception:
            log.exception("tick")
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_S, pause * 2)


async def _until_quiet(deck: Deck, listening: Listening) -> None:
    while True:
        seen = deck.store.change_seen()
        now = datetime.now(UTC)
        if listening.missed(now) and (renewed := await deck.store.renew_leases(now)):
            log.info("nobody was heard for a while: the leases of %d attempts begin anew", renewed)
        ticked = await deck.store.tick(now)
        deck.metrics.transitions += ticked.transitions
        for fault in ticked.faults:
            log.error("tick: %s", fault)
        listening.heard(now, timedelta())
        if not ticked.more:
            break
    wait, now = LONGEST_WAIT_S, datetime.now(UTC)
    if listening.missed(now):  # the tick took that long, or the clock was set meanwhile: begin anew
        return
    if ticked.next_due is not None:
        wait = min(wait, max(0.0, (ticked.next_due - now).total_seconds()))
    listening.heard(now, timedelta(seconds=wait))
    await deck.store.wait_for_change(seen, wait)


async def _prune(deck: Deck, retention: Retention) -> None:
    while True:
        try:
            pruned = await deck.store.prune(retention, datetime.now(UTC))
            await asyncio.to_thread(deck.logbook.prune, pruned.runs)
            if len(pruned.runs) >= retention.limit:
                await asyncio.sleep(0)
                continue
        except StoreError as error:
            log.warning("prune: %s", error)
        await asyncio.sleep(PRUNE_EVERY_S)
