"""Taskhand whole, in one thread, under a clock that only the simulation moves.

A seed decides everything: the tasks, what they do, what goes wrong and when. The code that runs is the worker's own
(attempts, lifecycle, client, journal, outbox) and the server's own (routes, rules, engine, its SQL); the simulation is
the machine below them. `python -m tests.simulation SEED` tells what happened under a seed.

- `world` is the clock, chance and who is next; `loop` is asyncio's loop on top of it.
- `machine` puts clock, sockets and processes in the place of the real ones; `pipes`, `disk` and `network` are them.
- `children`, `keeper`, `supervising` and `serving` are the parties.
- `plan` draws a history from its seed, `history` plays it; `blows` are what goes wrong in it, and what people do.
- `many` plays many, on all cores, and counts.
- `watch` is what has to hold, at each step and at the end; `story` is how it is told.
- `bugs` are the mistakes that the simulation has to find.
"""
