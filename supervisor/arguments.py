"""A task's arguments, for a child that cannot ask for them itself: each binding's value, before the child begins."""

from typing import Any

from protocol.flows import RETURN_VALUE
from protocol.http.values import XComResponse
from protocol.http.workloads import WorkloadInstance
from protocol.messages.startup import LiteralArgBinding, MappedArgBinding, TaskArgBinding
from supervisor.api import AttemptApi
from supervisor.paths import path


class ArgumentError(Exception):
    """An argument that has no value, and why."""


async def resolve(api: AttemptApi, ti: WorkloadInstance, bindings: list[TaskArgBinding]) -> dict[str, Any]:
    """Give every argument's value. What other tasks returned is asked for once each."""
    upstream: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for binding in bindings:
        if isinstance(binding, LiteralArgBinding):
            found[binding.name] = binding.value
            continue
        if binding.task_id not in upstream:
            upstream[binding.task_id] = await _returned(api, ti, binding.task_id)
        value = upstream[binding.task_id]
        found[binding.name] = _item(value, ti.map_index, binding) if isinstance(binding, MappedArgBinding) else value
    return found


async def _returned(api: AttemptApi, ti: WorkloadInstance, task_id: str) -> Any:  # noqa: ANN401 - any JSON value
    target = path("xcoms", ti.dag_id, ti.run_id, task_id, RETURN_VALUE)
    return (await api.get(target, XComResponse)).value


def _item(value: object, index: int, binding: MappedArgBinding) -> object:
    if not isinstance(value, list) or not 0 <= index < len(value):
        raise ArgumentError(f"{binding.name}: {binding.task_id} returned no item {index}")
    return value[index]
