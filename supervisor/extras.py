"""What belongs to this distribution, and what its extras bring.

Written out, not read from the installed metadata: that names distributions, and what has to be found is modules.
tests/supervisor/test_extras.py holds it to pyproject.toml.
"""

DISTRIBUTION = "taskhand"

# The top-level packages we install.
OURS = ("protocol", "runner", "server", "supervisor")

# The modules without which nothing works.
CORE = ("click", "httpx", "msgspec", "psutil", "rich", "sniffio", "structlog")

# Extra: the modules it brings.
EXTRAS: dict[str, tuple[str, ...]] = {
    "server": ("aiosqlite", "cryptography", "jwt", "litestar", "psycopg", "uvicorn"),
    "otel": ("opentelemetry.exporter.otlp.proto.http", "opentelemetry.sdk"),
    "prometheus": ("prometheus_client",),
    "celery": ("celery",),
    "fast": ("httptools", "uvloop"),
    "fsspec": ("fsspec",),
}
