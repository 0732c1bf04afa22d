"""The description of both APIs: it is OpenAPI 3.1, it says all there is, and no request it allows hurts the server."""

import re
from typing import Any

import pytest

from tests.server.http.live import Live


@pytest.fixture(scope="module")
def schema(server: Live) -> dict[str, Any]:
    answer = server.http.get("/schema")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_it_is_openapi_of_both_apis(server: Live, schema: dict[str, Any]) -> None:
    assert schema["openapi"].startswith("3.1")
    tags = {tag for path in schema["paths"].values() for method in path.values() for tag in method.get("tags", [])}
    assert tags == {"execution", "people"}
    assert server.http.get("/schema/openapi.json").json() == schema


def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    references = set(re.findall(r"'\$ref': '([^']+)'", str(schema)))
    known = {f"#/components/schemas/{name}" for name in schema["components"]["schemas"]}
    assert references - known == set()


def test_every_route_says_how_it_refuses(schema: dict[str, Any]) -> None:
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            assert {"404", "408", "413", "422", "431"} <= route["responses"].keys(), (method, path)
            assert ("401" in route["responses"]) == (not path.endswith(("/health", "/ping", "/metrics"))), path
