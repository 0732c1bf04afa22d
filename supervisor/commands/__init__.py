"""The commands this package brings to `worker`: one module each, imported when it is called."""
