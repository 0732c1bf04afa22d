"""The program that runs beside each peer, with the peer's own interpreter.

It imports the peer's packages and nothing of ours but this folder, so that what it says is theirs alone. It takes one
JSON object a line, does it, and answers with one: see `__main__`. Peers are imported by name, because the environment
that checks this code does not have them.
"""
