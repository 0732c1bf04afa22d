"""What a Dag processor says. Taskhand parses no Dags; these are here so that `schema.json` describes the whole wire."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from protocol.changes import Change, both, drop, within
from protocol.messages.runs import DagRun
from protocol.messages.shape import Message, Model, Moment
from protocol.messages.startup import TaskInstance, TIRunContext, without_new_context, without_region
from protocol.states import TaskInstanceState

FilePath = Annotated[str, Meta(extra_json_schema={"format": "path"})]


class DagRunContext(Model, frozen=True):
    """The run a callback is about, and its last task instance."""

    dag_run: DagRun | None = None
    last_ti: TaskInstance | None = None


class DagCallbackRequest(Message, frozen=True):
    """Run a Dag's callback for a run that ended."""

    filepath: str
    bundle_name: str
    bundle_version: str | None
    dag_id: str
    run_id: str
    version_data: dict[str, Any] | None = None
    msg: str | None = None
    context_from_server: DagRunContext | None = None
    is_failure_callback: bool | None = True


class TaskCallbackRequest(Message, frozen=True):
    """Run a task's callback where its own process could not."""

    filepath: str
    bundle_name: str
    bundle_version: str | None
    ti: TaskInstance
    version_data: dict[str, Any] | None = None
    msg: str | None = None
    task_callback_type: TaskInstanceState | None = None
    context_from_server: TIRunContext | None = None


class EmailRequest(Message, frozen=True):
    """Send the e-mail a task's failure or retry asked for."""

    filepath: str
    bundle_name: str
    bundle_version: str | None
    ti: TaskInstance
    context_from_server: TIRunContext
    version_data: dict[str, Any] | None = None
    msg: str | None = None
    email_type: Literal["failure", "retry"] = "failure"


class DagFileParseRequest(Message, frozen=True):
    """Parse one file, and run these callbacks from it."""

    file: str
    bundle_path: FilePath
    bundle_name: str
    callback_requests: list[DagCallbackRequest | TaskCallbackRequest | EmailRequest] = []


class LazyDeserializedDAG(Model, frozen=True):
    """A serialised Dag."""

    data: dict[str, Any]
    last_loaded: Moment | None = None


class DagSourceCode(Model, frozen=True):
    """The text a Dag was made from."""

    source_code: str
    language: str


class DagFileParsingResult(Message, frozen=True):
    """What one file held."""

    fileloc: str
    serialized_dags: list[LazyDeserializedDAG]
    warnings: list[Any] | None = None
    import_errors: dict[str, str] | None = None
    parsed_definitions: list[str] = []
    dag_source_codes: dict[str, DagSourceCode] = {}


_without_version_data = drop("version_data")
_about_a_run = both(_without_version_data, within("context_from_server", within("last_ti", without_region)))
_about_an_instance = both(
    _without_version_data, within("ti", without_region), within("context_from_server", without_new_context)
)

CHANGES = (
    Change("2026-10-30", DagCallbackRequest, down=_about_a_run),
    Change("2026-10-30", TaskCallbackRequest, down=_about_an_instance),
    Change("2026-10-30", EmailRequest, down=_about_an_instance),
    Change("2026-10-30", DagFileParseRequest, down=within("callback_requests", both(_about_a_run, _about_an_instance))),
    Change("2026-10-30", DagFileParsingResult, down=drop("parsed_definitions", "dag_source_codes")),
)
