"""Keeps attempts alive and honest: the `worker` command, and all that starts, watches, stops and reports a task.

It never imports `runner` or `server`: those are other processes, and a crash in user code or in the API must not be
able to reach the one process that accounts for both.
"""
