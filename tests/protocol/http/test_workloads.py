"""The envelope is Airflow's, with keys of ours that may be absent."""

import msgspec
import pytest

from protocol.http.workloads import AttemptPolicy, ClaimReply, ClaimRequest, ExecuteTask, Lease

AIRFLOWS = b"""{"token":"t","dag_rel_path":"a/b.py","log_path":"x.log",
 "bundle_info":{"name":"dags-folder","version":null},
 "ti":{"id":"01890000-0000-7000-8000-000000000000","task_id":"t","dag_id":"d","run_id":"r","try_number":1,
 "dag_version_id":"01890000-0000-7000-8000-000000000001","map_index":-1,"hostname":null,
 "context_carrier":{"traceparent":"00"},"queue":"q","pool_slots":1,"priority_weight":2},
 "sentry_integration":"","type":"ExecuteTask"}"""


def test_airflows_envelope_is_read() -> None:
    task = msgspec.json.decode(AIRFLOWS, type=ExecuteTask)
    assert (task.ti.queue, task.ti.priority_weight, task.bundle_info.name) == ("q", 2, "dags-folder")
    assert (task.lease, task.policy, task.runtime, task.command) == (None, None, None, None)


def test_ours_is_read_back_and_names_its_type() -> None:
    task = msgspec.structs.replace(
        msgspec.json.decode(AIRFLOWS, type=ExecuteTask),
        runtime="plain",
        command=["true"],
        lease=Lease(30.0, 7),
        policy=AttemptPolicy(grace_s=5.0, outage="keep"),
    )
    wire = msgspec.json.encode(ClaimReply([task], 30.0))
    assert msgspec.json.decode(wire, type=ClaimReply) == ClaimReply([task], 30.0)
    assert msgspec.json.decode(wire)["workloads"][0]["type"] == "ExecuteTask"


@pytest.mark.parametrize(
    "claim",
    [
        {"worker": "", "queues": ["q"], "slots": 1},
        {"worker": "w", "queues": [], "slots": 1},
        {"worker": "w", "queues": ["q"], "slots": 0},
        {"worker": "w", "queues": ["q"], "slots": 1, "wait_s": 3600},
        {"worker": "w", "queues": ["q"], "slots": 1, "all": True},
    ],
)
def test_an_absurd_claim_is_not_decoded(claim: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(claim, ClaimRequest)
