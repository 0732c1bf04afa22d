"""What a worker stands on, opened in order and closed in reverse: the client, the logs, the keeper."""

import asyncio
import contextlib
import os
import resource
import ssl
import stat
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from supervisor.api import Client
from supervisor.keeper import cgroups
from supervisor.keeper.children import Child
from supervisor.keeper.client import KeeperClient, KeeperError, KeeperSettings
from supervisor.logs_pump import LogPump
from supervisor.orders import Office
from supervisor.sections import ApiSettings
from supervisor.settings import Settings, child_environment, doors_of, identity
from supervisor.shipping import Way
from supervisor.wire import LeanWire, Timeouts, Wire, address

AGAIN_S = 1.0
VITAL_CONNECTIONS = 256
"""At most, and only where answers are slow: at 3.5 s each, 32 were too few for the heartbeats of 200 tasks."""


def client_of(settings: ApiSettings, on_news: Callable[[str], None] = lambda _: None) -> Client:
    """Give the client; nothing is connected yet. What is heard of its API in general, and of no call, is told."""
    wires = _wire(settings, settings.connections), _wire(settings, VITAL_CONNECTIONS)
    return Client(*wires, lambda news: on_news(f"{settings.url}: {news}"))


def children_root(settings: Settings) -> Path:
    """Make the place of the children's directories: in the state directory, where nobody else can look.

    Nor could children with an account of their own get through it to theirs, so for them it is among the machine's
    temporary files. There anybody may have made what we find: it has to be ours, and nobody else's to write to.
    """
    if settings.children.user is None:
        root = settings.state_dir / "tmp"
        root.mkdir(mode=0o700, exist_ok=True)
        return root
    return _apart(settings.apart(tempfile.gettempdir()))


def lasting_root(settings: Settings) -> Path:
    """Make the place of what children leave for later attempts: checkpoints, and files of checkpoints."""
    account = settings.children.limits().account
    if account is None:
        return settings.state_dir
    root = _apart(settings.own_dir)
    for name, mode, owner in (("checkpoints", 0o711, os.geteuid()), ("blobs", 0o700, account.uid)):
        place = root / name
        place.mkdir(mode=mode, exist_ok=True)
        place.chmod(mode)
        os.chown(place, owner, -1)
    return root


def _apart(root: Path) -> Path:
    """Make a directory that others can go through and not look into, among theirs."""
    with contextlib.suppress(FileExistsError):
        root.mkdir(mode=0o700)
    facts = root.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        raise KeeperError(f"{root} is not a directory of ours alone; children.user needs it")
    root.chmod(0o711)
    return root


def take_open_files() -> int:
    """Take as many fds as the machine gives, and say how many were ours before, which is what children get.

    A child costs us five and more: with the usual 1,024, two hundred tasks would be the end. Children get what was
    usual, because there are programs that close, or select among, all that they might have.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft


def _wire(settings: ApiSettings, size: int) -> Wire:
    where = address(settings.url)
    timeouts = Timeouts(settings.connect_timeout_s, settings.timeout_s)
    tls = _tls(settings) if where.secure else None
    if settings.proxy is None:
        return LeanWire(where, size=size, timeouts=timeouts, tls=tls)
    from supervisor.wire_httpx import HttpxWire  # noqa: PLC0415 - 0.2 s of imports, which only a proxy is worth

    return HttpxWire(where, size=size, timeouts=timeouts, tls=tls, proxy=settings.proxy)


def _tls(settings: ApiSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file)
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.client_cert is not None:
        context.load_cert_chain(settings.client_cert, settings.client_key)
    return context


@contextlib.asynccontextmanager
async def office(
    settings: Settings,
    on_warning: Callable[[str], None],
    meanwhile: Callable[[], object] = lambda: None,
    *,
    lasting: bool = False,
) -> AsyncIterator[Office]:
    """Open all of it.

    `meanwhile` is called while the keeper starts, which is a process of its own: a good moment for slow imports. With
    `lasting` the keeper outlives us and waits for the next of us, and what waits now for us is found.
    """
    wished = _wished(settings, lasting=lasting)
    client, keeper = client_of(settings.api, on_warning), KeeperClient(wished, on_warning)
    logs = LogPump(settings.logs, on_warning)
    again: asyncio.Task[None] | None = None
    try:
        held = await keeper.adopt()
        starting = asyncio.ensure_future(keeper.start())
        await asyncio.sleep(0)  # the process is started in this turn of the loop
        meanwhile()
        again = await _first_keeper(starting, keeper, on_warning, patient=bool(held))
        yield _opened(settings, client, keeper, logs, on_warning, held, again)
    except BaseException:  # nobody has looked after what was found yet, or will now: it is left as it was
        await keeper.leave()
        raise
    finally:
        if again is not None:
            again.cancel()
        await keeper.stop()
        await logs.stop()
        await client.close()
        cgroups.forget(wished.cgroup)


def _opened(  # noqa: PLR0913, PLR0917 - what an office is made of
    settings: Settings,
    client: Client,
    keeper: KeeperClient,
    logs: LogPump,
    on_warning: Callable[[str], None],
    held: list[Child],
    starting: "asyncio.Task[None] | None",
) -> Office:
    _, host, user = identity(settings)
    return Office(
        client=client,
        keeper=keeper,
        logs=logs,
        hostname=host,
        unixname=user,
        pid=os.getpid(),
        lease_s=settings.limits.lease_s,
        answer_s=settings.api.timeout_s,
        extended=settings.api.extended,
        way=Way(on_warning),
        held=tuple(held),
        starting=starting,
    )


async def _first_keeper(
    starting: "asyncio.Future[None]", keeper: KeeperClient, on_warning: Callable[[str], None], *, patient: bool
) -> "asyncio.Task[None] | None":
    """Wait for the first keeper. Where there are children to be looked after, no want of one keeps us from that."""
    try:
        await starting
    except KeeperError as error:
        if not patient:
            raise
        on_warning(f"{error}; nothing is claimed until a keeper starts")
        return asyncio.ensure_future(_start_again(keeper))
    return None


async def _start_again(keeper: KeeperClient) -> None:
    while True:
        await asyncio.sleep(AGAIN_S)
        with contextlib.suppress(KeeperError):
            return await keeper.start()


async def try_keeper(settings: Settings, warn: Callable[[str], None] = lambda _: None) -> None:
    """Start a keeper as a worker would, and end it. Raises KeeperError when it cannot be started."""
    with tempfile.TemporaryDirectory() as folder:
        options = settings.keeper
        wished = KeeperSettings(folder, options.entry, options.preload, child_environment(settings))
        keeper = KeeperClient(wished, warn)
        try:
            await keeper.start()
        finally:
            await keeper.stop()


def _wished(settings: Settings, *, lasting: bool) -> KeeperSettings:
    """Make the places, and say what a keeper is started with. The state directory is ours alone: logs are in it."""
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lasting_root(settings)
    options = settings.keeper
    return KeeperSettings(
        str(children_root(settings)),
        options.entry,
        options.preload,
        child_environment(settings),
        cgroup=cgroups.prepare() if options.cgroups else None,
        open_files=take_open_files(),
        doors=doors_of(settings) if lasting else None,
    )
