from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from protocol.http.workloads import AttemptPolicy
from supervisor.orders import NAME_CAP, order_of
from supervisor.settings import load
from supervisor.sources import read
from supervisor.tenure import Outage
from tests.supervisor.test_sources import envelope

WORKLOAD = read(msgspec.json.encode(envelope(1)))


def test_a_name_leads_nowhere_but_to_its_own_file() -> None:
    found = load({"worker.state_dir": "/s"}, environ={}).settings
    ti = replace(WORKLOAD.ti, dag_id="../../etc", run_id="a/b", task_id="." * 3 + "x" * 1000)
    order = order_of(replace(WORKLOAD, ti=ti, log_path="/etc/passwd", runtime="plain"), found)
    for place in (order.log, order.checkpoints):
        assert place is not None
        assert Path("/s") in place.parents
        assert ".." not in place.parts
        assert max(map(len, place.parts)) <= NAME_CAP


def test_attempts_of_one_task_share_its_checkpoints_and_not_its_log() -> None:
    found = load({"worker.state_dir": "/s"}, environ={}).settings
    plain = replace(WORKLOAD, runtime="plain")
    first, second = order_of(plain, found), order_of(replace(plain, ti=replace(plain.ti, try_number=2)), found)
    assert first.checkpoints == second.checkpoints
    assert first.log != second.log


def test_the_author_s_limits_come_first() -> None:
    found = load({"worker.state_dir": "/s"}, environ={}).settings
    wished = AttemptPolicy(
        execution_timeout_s=5.0, progress_timeout_s=2.0, outage="stop_after", grace_s=1.0, outage_after_s=3.0
    )
    policy = order_of(replace(WORKLOAD, policy=wished), found).policy
    assert (policy.limits.execution_s, policy.limits.progress_s) == (5.0, 2.0)
    assert (policy.outage, policy.grace_s) == (Outage("stop_after", 3.0), 1.0)
    plain = order_of(WORKLOAD, found).policy
    assert (plain.outage, plain.talks, plain.zero_is_success) == (Outage(), True, False)


@pytest.mark.parametrize(
    ("author", "outage"),
    [
        (AttemptPolicy(), Outage("stop_after", 60.0)),
        (AttemptPolicy(outage_after_s=5.0), Outage("stop_after", 5.0)),
        (AttemptPolicy(outage="checkpoint_after"), Outage("checkpoint_after")),
        (AttemptPolicy(outage="keep"), Outage("keep")),
    ],
)
def test_who_says_nothing_of_an_outage_has_what_the_worker_is_set_to(author: AttemptPolicy, outage: Outage) -> None:
    found = load({"worker.state_dir": "/s", "outage.policy": "stop_after", "outage.after_s": 60}, environ={}).settings
    assert order_of(replace(WORKLOAD, policy=author), found).policy.outage == outage


@pytest.mark.parametrize(
    ("user", "runtime", "problem"),
    [(None, "cobol", "no runtime is called 'cobol'"), ("gone-by-now", None, "no user called")],
)
def test_what_cannot_be_made_is_ordered_with_its_reason(user: str | None, runtime: str | None, problem: str) -> None:
    found = load({"worker.state_dir": "/s"}, environ={}).settings
    found = replace(found, children=replace(found.children, user=user))
    assert problem in (order_of(replace(WORKLOAD, runtime=runtime), found).problem or "")


def test_a_bundle_says_where_a_file_is() -> None:
    found = load({"bundles.local": "/code"}, environ={}).settings
    assert order_of(WORKLOAD, found).task.file == "/code/a.py"
    elsewhere = replace(WORKLOAD, bundle_info=replace(WORKLOAD.bundle_info, name="other"))
    assert order_of(elsewhere, found).task.file is None
