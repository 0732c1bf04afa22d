"""What a JSON Schema says, without how it says it: the same meaning gives the same shape.

Left out are words for people (titles, descriptions) and hints for generators (discriminators). Made one are `const`
and an `enum` of one, `oneOf` and `anyOf`, any order of alternatives, and the two definitions we have where the peers
write the form out (Timestamp, Duration). Nothing else: what is not the same after this is a difference.
"""

import json
from typing import Any

Node = dict[str, Any]

ANYTHING = {"array", "boolean", "null", "number", "object", "string"}
WORDS = {"title", "description", "discriminator"}
OURS: dict[str, Node] = {
    "Timestamp": {"type": "string", "format": "date-time"},
    "Duration": {"type": "string", "format": "duration"},
}
"""Our definitions for what the peers write out. A duration may also be seconds; theirs takes them, and does not say."""


def shape(node: Any) -> Any:
    """Give a schema's meaning in one form."""
    if isinstance(node, list):
        return [shape(each) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        return OURS.get(name, {"$ref": name})
    kept = {key: shape(value) for key, value in node.items() if key not in WORDS}
    return _alternatives(_nothing_said(_constants(kept)))


def _constants(node: Node) -> Node:
    values = [node.pop("const")] if "const" in node else node.pop("enum", None)
    if values is None:
        return node
    node.pop("type", None)
    return node | {"enum": sorted(values)}


def _nothing_said(node: Node) -> Node:
    """Drop what only repeats what holds anyway."""
    if node.get("additionalProperties") is True:
        del node["additionalProperties"]
    if node.get("items") is False and node.get("maxItems") == len(node.get("prefixItems", ())):
        del node["items"]
    if node.get("items") == {}:
        del node["items"]
    if isinstance(node.get("type"), list) and set(node["type"]) == ANYTHING:
        del node["type"]
    return node


def _alternatives(node: Node) -> Node:
    choices = node.pop("oneOf", None) or node.pop("anyOf", None)
    return node if choices is None else node | {"anyOf": sorted(choices, key=_stable)}


def _stable(node: Any) -> str:
    return json.dumps(node, sort_keys=True)
