"""How commands reach the people's API, and how they take what people name.

A refusal of the server ends a command with exit code 2 and the server's own words.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

import click
import httpx
import msgspec

from protocol.http.errors import ErrorBody, refusal
from protocol.http.people import InstancePage, InstanceSummary, RunPage
from server.commands.showing import name_of
from server.settings import HOST, PORT, URL_FILE, USER_TOKEN_FILE, Surroundings, surroundings

T = TypeVar("T")

CONFLICT = 409
_START = "Start a server with `worker server`, or one with a worker with `worker up`"
_SAY_WHO = f". Say --token, or set TASKHAND_TOKEN: the server left one in its state directory, in `{USER_TOKEN_FILE}`"
_HINTS = {401: _SAY_WHO, 403: _SAY_WHO}
_NAMED = re.compile(r"(?P<flow>[^/]+)/(?:(?P<run>.+)/)?(?P<task>[^/\[\]]+)(?:\[(?P<map>\d+)\])?")
_PREFIX = re.compile(r"[0-9a-f][0-9a-f-]{3,35}")


class Uncalled(click.ClickException):
    """The call could not be carried out. `status` is there where a server has said so."""

    exit_code = 2

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class PeopleApi:
    """The people's API of one server."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._http = httpx.Client(
            base_url=f"{url}/api", headers={"authorization": f"Bearer {token}"}, timeout=httpx.Timeout(10, read=60)
        )

    def get(self, path: str, kind: type[T], **query: Any) -> T:  # noqa: ANN401 - values of a query
        """Read."""
        return self._answer(self.raw("GET", path, params={k: v for k, v in query.items() if v is not None}), kind)

    def post(self, path: str, kind: type[T], body: Any = None) -> T:  # noqa: ANN401 - a struct
        """Act."""
        content = None if body is None else msgspec.json.encode(body)
        return self._answer(self.raw("POST", path, content=content), kind)

    def raw(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx' own arguments
        """Ask, and give a good answer only."""
        try:
            response = self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            why = (str(error) or type(error).__name__).rstrip(".")
            raise Uncalled(f"no answer from {self.url}: {why}. {_START}, or say --server http://HOST:PORT") from error
        if response.is_success:
            return response
        try:
            said = refusal(msgspec.json.decode(response.content, type=ErrorBody))
            words = said.message or said.reason
        except msgspec.MsgspecError:
            words = response.text[:200]
        hint = _HINTS.get(response.status_code, "")
        raise Uncalled(f"{words or response.reason_phrase} ({response.status_code}){hint}", response.status_code)

    @staticmethod
    def _answer(response: httpx.Response, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(response.content or b"null", type=kind)
        except msgspec.MsgspecError as error:
            raise Uncalled(f"what answers at {response.url} is no Taskhand server: {error}") from error


def people_api(url: str | None, token: str | None) -> PeopleApi:
    """Find the server: by flag, by environment, by what a server on this machine left in the state directory."""
    around = surroundings()
    found = (url or around.server or _left_url(around)).rstrip("/").removesuffix("/execution")
    return PeopleApi(found, token or around.token or _left_token(around))


def _left_url(around: Surroundings) -> str:
    try:
        return (around.home / URL_FILE).read_text().strip()
    except OSError:
        return f"http://{HOST}:{PORT}"


def _left_token(around: Surroundings) -> str:
    file = around.home / USER_TOKEN_FILE
    try:
        return file.read_text().strip()
    except OSError as error:
        looked = f"neither --token nor TASKHAND_TOKEN is set, and {file}: {error.strerror}"
        raise Uncalled(f"no token: {looked}. {_START}: it leaves a token there") from None


@contextmanager
def conflict_means(hint: str) -> Iterator[None]:
    """Say what to do about a refusal that is about how things are, and not about the call."""
    try:
        yield
    except Uncalled as error:
        raise (Uncalled(f"{error.message}; {hint}") if error.status == CONFLICT else error) from None


def with_server(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every command of people takes."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="JSON instead of a table or lines."),
        click.option("--token", metavar="TOKEN", help="Default: TASKHAND_TOKEN, else the state directory's."),
        click.option("--server", "url", metavar="URL", help="Default: TASKHAND_SERVER, else the one on this machine."),
    ):
        function = option(function)
    return function


def names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a task instance with the newest ones; without a server there is nothing to complete with."""
    del parameter
    try:
        api = people_api(context.params.get("url"), context.params.get("token"))
        page = api.get("/task-instances", InstancePage, limit=100)
    except Uncalled:
        return []
    return [name for each in page.instances if (name := name_of(each)).startswith(incomplete)]


def path(*segments: object) -> str:
    """Join segments, each quoted; a dot is quoted too, so that none is `..`."""
    return "/" + "/".join(quote(str(segment), safe="").replace(".", "%2E") for segment in segments)


def resolve(api: PeopleApi, name: str) -> InstanceSummary:
    """Find a task instance.

    By `flow/run/task[map]`, by `flow/task` of the newest run, by its id, or by a prefix of that.
    """
    try:
        return api.get(path("task-instances", UUID(name)), InstanceSummary)
    except ValueError:
        pass
    if found := _NAMED.fullmatch(name):
        return _by_names(api, found["flow"], found["run"], found["task"], found["map"])
    if not _PREFIX.fullmatch(name):
        raise Uncalled(f"{name!r} names no task instance: say flow/run/task[map], flow/task, or (a prefix of) its id")
    return _by_prefix(api, name)


def _by_names(api: PeopleApi, flow: str, run: str | None, task: str, index: str | None) -> InstanceSummary:
    if run is None:
        newest = api.get("/runs", RunPage, flow=flow, limit=1).runs
        if not newest:
            raise Uncalled(f"flow {flow!r} has no run; `worker ps --runs` lists those there are")
        run = newest[0].run_id
    page = api.get("/task-instances", InstancePage, flow=flow, run=run, task=task, map_index=index, limit=2)
    if not page.instances:
        named = f"{flow}/{run}/{task}{'' if index is None else f'[{index}]'}"
        raise Uncalled(f"there is no task instance {named}; `worker ps --flow {flow}` lists those there are")
    if len(page.instances) > 1:
        raise Uncalled(f"{flow}/{run}/{task} is mapped and has {page.total} instances: add [0] or another index")
    return page.instances[0]


def _by_prefix(api: PeopleApi, prefix: str) -> InstanceSummary:
    matching = api.get("/attempts", InstancePage, id=prefix, limit=2).instances
    if not matching:
        raise Uncalled(f"no attempt has an id that begins with {prefix!r}; `worker ps` lists the newest")
    if len(matching) > 1:
        raise Uncalled(
            f"ids of several attempts begin with {prefix!r}: {', '.join(str(each.id) for each in matching)}, …"
        )
    return matching[0]
