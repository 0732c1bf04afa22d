"""The commands of the server's side, found by name from `worker`: the server itself, and people's over its API."""
