"""Claims: how a worker gets work.

It asks, and is answered at once when there is some, else when there is or its time is up.
"""

import asyncio
from datetime import UTC, datetime

from litestar import post
from litestar.params import JSONBody

from protocol.http.workloads import ClaimReply, ClaimRequest
from server.admission import WORKER, Call
from server.routes.answers import refusals
from server.tokens import Scope
from server.views import workload


@post("/workloads/claim", opt=WORKER, status_code=200, responses=refusals(), summary="Claim workloads")
async def claim(request: Call, data: JSONBody[ClaimRequest]) -> ClaimReply:
    """Claim up to so many workloads. Each has a token that only starts that attempt, and only while the claim lasts."""
    deck = request.deck
    loop = asyncio.get_running_loop()
    ends = loop.time() + min(data.wait_s, deck.limits.wait_s)
    while True:
        now = datetime.now(UTC)
        seen = deck.store.work_seen(data.queues)
        claimed = await deck.store.claim(data.worker, data.queues, data.slots, data.runtimes, now)
        left = ends - loop.time()
        if claimed or left <= 0 or deck.closing.said:
            break
        await deck.closing.unless(deck.store.wait_for_work(data.queues, seen, left))
    lease = deck.limits.lease_s
    return ClaimReply(
        [
            workload(
                each,
                deck.tokens.mint(Scope.WORKLOAD, each.instance.id, now, fence=each.instance.fence),
                lease,
            )
            for each in claimed
        ],
        lease,
    )


HANDLERS = [claim]
