"""The routes. Each module is one family; each handler is a few lines from a request to the store and back."""
