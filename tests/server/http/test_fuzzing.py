"""What the description allows, and what it does not, sent at random: no 5xx, and no status that is not described."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
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


schema = schemathesis.openapi.from_dict(routed(Limits()).openapi_schema.to_schema())


pytestmark = [pytest.mark.slow, pytest.mark.fuzz]


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
def test_no_request_that_can_be_described_hurts(case: schemathesis.Case[Any], server: Live, attempt: Attempt) -> None:
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
