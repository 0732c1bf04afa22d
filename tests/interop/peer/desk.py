"""Their supervisor's side of a conversation: the real handlers, over a socket, with an API server that is played.

The played server answers every route as the real one would for something that exists, or every route with one status.
"""

import re
from importlib import import_module
from typing import Any
from uuid import UUID

from tests.interop.peer.models import MOMENTS, alternatives, models_of_the_api, supervisor, triggerer
from tests.interop.peer.plain import Plain

structlog = import_module("structlog")
psutil = import_module("psutil")
client_module = import_module("airflow.sdk.api.client")
http = getattr(client_module, "httpx", None) or client_module.httpx2

IDENTITY = UUID("01a1f76d-b884-70af-adc6-1a4bd7bdd018")
BY_ROUTE: list[tuple[str, str, object]] = [
    ("HEAD", "/xcoms/", None),
    ("GET", "/xcoms/.*/item/", "XComSequenceIndexResponse"),
    ("GET", "/xcoms/.*/slice", "XComSequenceSliceResponse"),
    ("GET", "/xcoms/", "XComResponse"),
    ("GET", "/assets/by-alias", ["AssetResponse"]),
    ("GET", "/assets/", "AssetResponse"),
    ("GET", "/asset-events/", "AssetEventsResponse"),
    ("GET", "/connections/", "ConnectionResponse"),
    ("GET", "/variables/keys", "VariableKeysResponse"),
    ("GET", "/variables/", "VariableResponse"),
    ("GET", "/store/ti/", "TaskStateStoreResponse"),
    ("GET", "/store/asset/", "AssetStateStoreResponse"),
    ("GET", "/dag-runs/count", 3),
    ("GET", "/dag-runs/previous", "DagRun"),
    ("GET", "/dag-runs/.*/state", "DagRunStateResponse"),
    ("GET", "/dag-runs/", "DagRun"),
    ("GET", "/dags/", "DagResponse"),
    ("GET", "/task-instances/count", 3),
    ("GET", "/task-instances/states", "TaskStatesResponse"),
    ("GET", "/task-instances/breadcrumbs", "TaskBreadcrumbsResponse"),
    ("GET", "/task-instances/previous/", "PreviousTIResponse"),
    ("GET", "/previous-successful-dagrun", "PrevSuccessfulDagRunResponse"),
    ("GET", "/validate-inlets-and-outlets", "InactiveAssetsResponse"),
    ("GET", "/task-reschedules/", MOMENTS[0].isoformat()),
    ("POST", "/hitlDetails/", "HITLDetailRequest"),
    ("GET|PATCH|PUT", "/hitlDetails/", "HITLDetailResponse"),
    ("POST|PUT|PATCH|DELETE", "", {}),
]


class Server:
    """The played API server."""

    def __init__(self) -> None:
        self.status = 200
        self.requests: list[str] = []

    def __call__(self, request: Any) -> Any:
        """Answer a request."""
        self.requests.append(f"{request.method} {request.url.path}")
        if self.status != 200:
            detail = {"reason": "played", "message": f"a {self.status}"}
            return http.Response(self.status, json={"detail": detail}, request=request)
        route = next(
            answer
            for method, path, answer in BY_ROUTE
            if re.fullmatch(method, request.method) and re.search(path, request.url.path)
        )
        headers = {"Content-Range": "map_indexes 4"}
        return http.Response(200, json=None if route is None else _content(route), headers=headers, request=request)


def _content(answer: object) -> Plain:
    if isinstance(answer, list):
        return [_content(each) for each in answer]
    if not (isinstance(answer, str) and hasattr(models_of_the_api, answer)):
        return answer
    return next(alternatives(getattr(models_of_the_api, answer))).model_dump(mode="json", by_alias=True)


def desk_at(channel: Any, server: Server | None = None, *, triggers: bool = False) -> Any:
    """Make their supervisor of a task, or of triggers, that answers at this socket."""
    transport = http.MockTransport(server or Server())
    client = client_module.Client(base_url=None, dry_run=True, token="", transport=transport)
    client.base_url = "http://played.invalid/"
    process = psutil.Process()
    common = {"id": IDENTITY, "pid": process.pid, "stdin": channel, "process": process}
    common["process_log"] = structlog.get_logger()
    if not triggers:
        return supervisor.ActivitySubprocess(**common, client=client)
    # Their own extension point: a triggerer without a database says where its API server is.
    played = type("Played", (triggerer.TriggerRunnerSupervisor,), {"make_client": lambda _: client})
    return played(**common, capacity=1)
