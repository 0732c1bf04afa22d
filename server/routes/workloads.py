"""Claims: how a worker gets work.

It asks, and is answered at once when there is some, else when there is or its time is up.
"""

from datetime import UTC, datetime
from functools import partial

from litestar import post
from litestar.params import JSONBody

from protocol.http.workloads import ClaimReply, ClaimRequest
from server.admission import WORKER, Call
from server.routes.answers import refusals
from server.tokens import Scope
from server.views import workload
from server.waiting import Patience


@post("/workloads/claim", opt=WORKER, status_code=200, responses=refusals(), summary="Claim workloads")
async def claim(request: Call, data: JSONBody[ClaimRequest]) -> ClaimReply:
    """Claim up to so many workloads. Each has a token that only starts that attempt, and only while the claim lasts."""
    deck = request.deck
    async with Patience(deck.closing, request.receive, min(data.wait_s, deck.limits.wait_s)) as patience:
        while True:
            seen = deck.store.work_seen(data.queues)
            now = datetime.now(UTC)
            deck.asked.update(dict.fromkeys(data.queues, now))
            claimed = await deck.store.claim(data.worker, data.queues, data.slots, data.runtimes, now)
            if claimed or not await patience.until(partial(deck.store.wait_for_work, data.queues, seen)):
                break
        if claimed and patience.hung_up:
            await deck.store.give_back(claimed, now)
    mint, lease = deck.tokens.mint, deck.limits.lease_s
    return ClaimReply(
        [
            workload(each, mint(Scope.WORKLOAD, each.instance.id, now, fence=each.instance.fence), lease)
            for each in claimed
        ],
        lease,
    )


HANDLERS = [claim]
