"""`python -m runner`: our runner as a `command` runtime."""

import sys

from runner.child import main
from runner.settings import descriptors

if __name__ == "__main__":
    sys.exit(main(*descriptors()))
