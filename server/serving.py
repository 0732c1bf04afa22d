"""The server as a process: state directory, socket, readiness, uvicorn.

The socket is bound before anything else, so that a port that is taken is said at once; readiness is said when
requests are answered: one line on stdout, a byte on `--ready-fd`, and `READY=1` to systemd.
"""

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import uvicorn
from msgspec import Struct

from server.app import application
from server.connections import Bounds, descriptors, within
from server.deck import Deck, Limits
from server.filters import Retention
from server.logbook import Logbook
from server.metrics import Metrics
from server.settings import HOST, PORT, URL_FILE, USER_TOKEN_FILE, WORKER_TOKEN_FILE
from server.store import Store
from server.tokens import Claims, InvalidToken, Scope, Tokens, secret_in, write_private
from server.waiting import Closing

log = logging.getLogger("server")

YEAR_S = 365 * 86_400.0
GRACE_S = 3
UNREAD_MS = 60_000
"""A peer that has not taken what was sent to it for so long is given up by the kernel. Connections inherit it."""


class Serving(Struct, frozen=True, kw_only=True):
    """How to serve."""

    home: Path
    store: Store
    host: str = HOST
    port: int = PORT
    secret: bytes | None = None
    """None makes one in the state directory, or takes the one that is there."""
    ready_fd: int | None = None
    while_fd: int | None = None
    """A pipe whose end is a SIGTERM: whoever holds it wants a server no longer, or was killed."""
    notify_socket: str | None = None
    as_json: bool = False
    token_life_s: float = 600.0
    queued_life_s: float = 600.0
    limits: Limits = Limits()
    retention: Retention = Retention()


class Announced(Struct, frozen=True):
    """What is said when the server is ready."""

    url: str
    home: str
    pid: int


def serve(serving: Serving) -> None:
    """Serve until a signal ends it."""
    home = serving.home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    tokens = Tokens(serving.secret or secret_in(home), life=serving.token_life_s, queued_life=serving.queued_life_s)
    now = datetime.now(UTC)
    for name, scope in ((WORKER_TOKEN_FILE, Scope.WORKER), (USER_TOKEN_FILE, Scope.USER)):
        keep_token(home / name, tokens, scope, now)
    closing = Closing()
    logbook = Logbook(home / "logs", serving.limits.log)
    deck = Deck(serving.store, tokens, logbook, Metrics(), closing, serving.limits)
    listening = listen(serving.host, serving.port)
    config = uvicorn.Config(
        application(deck, retention=serving.retention),
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=75,
        http=within(Bounds(connections=descriptors())),
        ws="none",
    )
    server = Announcing(config, serving, url_of(listening), closing)
    server.run(sockets=[listening])
    if not server.started:
        raise SystemExit(2)


class Announcing(uvicorn.Server):
    """uvicorn, and it says when it is ready."""

    def __init__(self, config: uvicorn.Config, serving: Serving, url: str, closing: Closing) -> None:
        super().__init__(config)
        self._serving = serving
        self._url = url
        self._closing = closing

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End well on a signal. uvicorn raises it again afterwards, and who was asked to end seems to have failed."""
        loop = asyncio.get_running_loop()
        for ending in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(ending, self.handle_exit, ending, None)
        fd = self._serving.while_fd
        if fd is not None:
            loop.add_reader(fd, self._left_alone, fd)
        try:
            yield
        finally:
            if fd is not None:
                loop.remove_reader(fd)
            for ending in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(ending)

    def _left_alone(self, fd: int) -> None:
        asyncio.get_running_loop().remove_reader(fd)
        self.handle_exit(signal.SIGTERM, None)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the store first: what is wrong with it is said in its own words, and not by uvicorn as a traceback."""
        await self._serving.store.open()
        if closed := await self._serving.store.seal_anew():
            log.error("%d variables and connections are encrypted, and no key in TASKHAND_KEYS opens them", closed)
        await super().serve(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let those go first who only wait."""
        self._closing.say()
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so when the first request would be answered."""
        await super().startup(sockets)
        if self.started and not self.should_exit:
            await asyncio.to_thread(announce, self._serving, self._url)


def announce(serving: Serving, url: str) -> None:
    """Tell whoever waits."""
    (serving.home / URL_FILE).write_text(f"{url}\n")
    said = Announced(url, str(serving.home), os.getpid())
    line = msgspec.json.encode(said).decode() if serving.as_json else f"taskhand server is ready at {url}"
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    if serving.ready_fd is not None:
        with contextlib.suppress(OSError):
            os.write(serving.ready_fd, b"\n")
            os.close(serving.ready_fd)
    if serving.notify_socket:
        _notify(serving.notify_socket)


def _notify(address: str) -> None:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        systemd.send(b"READY=1")


def listen(host: str, port: int) -> socket.socket:
    """Bind, or raise `OSError` with the address in its words."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"{error.strerror}: {host}:{port}") from None
    return listening


def url_of(listening: socket.socket) -> str:
    """Give the URL that reaches a socket from this machine."""
    host, port = listening.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        host = "::1" if address.version == 6 else HOST  # noqa: PLR2004 - IPv6
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def keep_token(file: Path, tokens: Tokens, scope: Scope, now: datetime) -> None:
    """Leave a token of this scope in the state directory, unless a good one with half its life left is there."""
    with contextlib.suppress(FileNotFoundError, InvalidToken):
        claims: Claims = tokens.verify(file.read_text().strip(), now)
        if claims.scope is scope and claims.exp - now.timestamp() > YEAR_S / 2:
            return
    write_private(file, tokens.mint(scope, scope.value, now, life=YEAR_S).encode())


__all__: Sequence[str] = ["Announced", "Serving", "is_loopback", "keep_token", "listen", "serve", "url_of"]
