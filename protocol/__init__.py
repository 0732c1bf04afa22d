"""What is said on the wire: frames, messages, states, schema and versions, without any I/O.

Everything else in the project speaks through this package and it imports none of it. It takes values and gives
values: no socket, no clock, no thread, no environment. A program in another language reads `schema.json`, which is
generated from here, and needs nothing else.
"""
