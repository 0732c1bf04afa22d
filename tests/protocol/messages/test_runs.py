from protocol.messages import runs
from protocol.messages.runs import PreviousDagRunResult, PrevSuccessfulDagRunResult, TriggerDagRun
from tests.protocol.messages.exercise import exercise_messages
from tests.protocol.samples import as_map


def test_messages() -> None:
    exercise_messages(runs, strict={"DagRunResult", "TriggerDagRun"})


def test_no_previous_run_is_said_but_unknown_dates_are_left_out() -> None:
    assert as_map(PreviousDagRunResult()) == {"type": "PreviousDagRunResult", "dag_run": None}
    assert as_map(PrevSuccessfulDagRunResult()) == {"type": "PrevSuccessfulDagRunResult"}


def test_the_asker_sends_its_defaults() -> None:
    assert as_map(TriggerDagRun("flow", "run"))["reset_dag_run"] is False
