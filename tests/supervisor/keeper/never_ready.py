"""An entry whose import does not end."""

import signal

signal.pause()
