"""Runs the user's code inside the child process, and is what task authors import.

It lives in the same process as code nobody has reviewed, so it holds no token, opens no connection of its own, and
knows the rest of the system only as the messages of `protocol`.
"""

from runner.authoring import flow, shell, task

__all__ = ["flow", "shell", "task"]
