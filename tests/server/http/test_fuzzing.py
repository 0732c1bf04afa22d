"""What the description allows, and what it does not, sent at random: no 5xx, and no status that is not described."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.pytest.lazy import get_all_tests
from schemathesis.specs.openapi.checks import status_code_conformance

from server.app import routed
from server.deck import Limits
from server.tokens import Scope
from tests.fuzzing import CASES
from tests.server.http.live import Attempt, Live

EXAMPLES = max(5, CASES // 400)
"""For each of some eighty operations, beside the boundary cases that schemathesis always tries."""


@pytest.fixture(scope="module")
def attempt(server: Live) -> Attempt:
    """A real attempt, so that more than 404 is met."""
    return server.attempt({"task_id": "t", "retries": 1_000_000, "retry_delay_s": 0})


DESCRIPTION = routed(Limits()).openapi_schema.to_schema()
OPERATIONS = [(verb.upper(), path) for path, verbs in DESCRIPTION["paths"].items() for verb in verbs]
NAMES = [" ".join(operation) for operation in OPERATIONS]

pytestmark = [pytest.mark.slow, pytest.mark.fuzz]


@pytest.fixture(scope="module")
def described() -> schemathesis.BaseSchema:
    """Read by a process that comes to one of these tests, and not by each that collects them."""
    return schemathesis.openapi.from_dict(DESCRIPTION)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
def asked(case: schemathesis.Case[Any], server: Live, attempt: Attempt) -> None:
    path, parameters = case.path, case.path_parameters
    if "ti_id" in parameters and len(str(case.body)) % 2:
        case.path_parameters = parameters | {"ti_id": attempt.id}
    if "wait_s" in case.query:
        case.query["wait_s"] = 0
    if isinstance(case.body, dict) and "wait_s" in case.body:
        case.body["wait_s"] = 0
    scope = Scope.USER if path.startswith("/api") else Scope.WORKER if path.endswith("/claim") else Scope.EXECUTION
    token = server.mint(scope, str(case.path_parameters.get("ti_id", attempt.id)), life=600)
    response = case.call(base_url=server.url, headers={"authorization": f"Bearer {token}"})
    case.validate_response(response, checks=[not_a_server_error, status_code_conformance])


@pytest.mark.parametrize(("verb", "path"), OPERATIONS, ids=NAMES)
def test_no_request_that_can_be_described_hurts(
    verb: str, path: str, described: schemathesis.BaseSchema, server: Live, attempt: Attempt
) -> None:
    """The cases are made here: made with the tests, all of them were, in each process, before the first test ran."""
    [made] = get_all_tests(
        schema=described.include(method=verb, path=path), test_func=asked, settings=None, given_kwargs={}
    )
    assert isinstance(made, Ok)
    _, ask = made.ok()
    ask(server=server, attempt=attempt)
