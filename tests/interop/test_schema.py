"""The peers' own `schema.json`, held against ours definition by definition and field by field."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from protocol.versions import HEAD
from tests.architecture.layout import ROOT
from tests.interop.differences import assert_listed
from tests.interop.peers import VERSIONS, WIRE, installed_in
from tests.interop.shapes import Node, shape

pytestmark = [pytest.mark.interop]


@cache
def theirs(version: str) -> Node:
    file = installed_in(version) / "airflow" / "sdk" / "execution_time" / "schema" / "schema.json"
    document: Node = json.loads(file.read_text())
    return document


@cache
def ours() -> Node:
    document: Node = json.loads((ROOT / "schema.json").read_text())
    return document


def differences(version: str) -> Iterator[dict[str, str]]:
    for name, definition in theirs(version)["$defs"].items():
        if name not in ours()["$defs"]:
            yield {"definition": name, "field": "", "aspect": "missing"}
            continue
        counterpart = ours()["$defs"][name]
        for field, aspect in [*_as_a_whole(definition, counterpart), *_fields(version, definition, counterpart)]:
            yield {"definition": name, "field": field, "aspect": aspect}


def _as_a_whole(their: Node, our: Node) -> Iterator[tuple[str, str]]:
    their_policy, our_policy = (shape(node.get("additionalProperties", True)) for node in (their, our))
    if their_policy != our_policy:
        yield "", "additionalProperties"
    apart = ("properties", "required", "additionalProperties")
    left, right = (shape({key: value for key, value in node.items() if key not in apart}) for node in (their, our))
    if left != right:
        yield "", "type"


def _fields(version: str, their: Node, our: Node) -> Iterator[tuple[str, str]]:
    left, right = their.get("properties", {}), our.get("properties", {})
    for field in {**left, **right}:
        if field not in right:
            yield field, "missing"
        elif field in left:
            yield from ((field, aspect) for aspect in _aspects(field, (their, our)))
        elif WIRE[version] == HEAD:
            yield field, "more"


def _aspects(field: str, sides: tuple[Node, Node]) -> Iterator[str]:
    left, right = (side["properties"][field] for side in sides)
    if _type(left) != _type(right):
        yield "type"
    if _default(left) != _default(right):
        yield "default"
    if (field in sides[0].get("required", ())) != (field in sides[1].get("required", ())):
        yield "required"


def _type(node: Node) -> Any:
    return shape({key: value for key, value in node.items() if key != "default"})


def _default(node: Node) -> tuple[bool, Any]:
    return "default" in node, node.get("default")


def test_every_peer_has_its_wire_version() -> None:
    assert {version: theirs(version)["api_version"] for version in VERSIONS} == WIRE
    assert set(WIRE.values()) == set(ours()["versions"])


@pytest.mark.parametrize("version", VERSIONS)
def test_each_of_their_definitions_and_fields_is_in_ours_as_they_have_it(version: str) -> None:
    assert_listed("schema", version, list(differences(version)))
