"""`python -m tests.simulation SEED [COUNT]`: tell the story of a seed, or look for a bad one from there on."""

import sys

from tests.simulation.history import play

if __name__ == "__main__":
    first, count = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for seed in range(first, first + max(count, 1)):
        told = play(seed)
        if told.found or not count:
            sys.stdout.write(f"{told.story}\n\nseed {seed}: {told.found or 'all is well'}, {told.steps} steps\n")
            sys.exit(bool(told.found))
    sys.stdout.write(f"{count} histories from {first}: all is well\n")
