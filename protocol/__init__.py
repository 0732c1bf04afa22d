"""What is said between a supervisor and a task: frames, messages, states, schema and versions.

Everything else speaks through this package, so it must be usable from any program, loop or test: it takes bytes and
values and gives bytes and values. It imports msgspec and pure standard library only, and does no I/O at all; the
allow-list in tests/architecture/test_purity.py holds it to that.
"""
