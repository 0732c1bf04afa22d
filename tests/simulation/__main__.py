"""`python -m tests.simulation SEED [COUNT]`: tell the story of a seed, or look for a bad one from there on."""

import sys

from tests.simulation.history import play
from tests.simulation.many import many


def _say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    first = int(sys.argv[1])
    if len(sys.argv) > 2:
        tally = many(first, int(sys.argv[2]), _say)
        _say(tally.story + f"\n\n{tally}" if tally.story else str(tally))
        sys.exit(tally.bad is not None)
    told = play(first)
    _say(f"{told.story}\n\nseed {first}: {told.found or 'all is well'}, {told.steps} steps")
    sys.exit(bool(told.found))
