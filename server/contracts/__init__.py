"""What the parts of a store promise, one protocol for each; `server.store` joins them."""
