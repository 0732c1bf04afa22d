import pytest

from tests.interop.peers import VERSIONS, run_in

pytestmark = [pytest.mark.interop, pytest.mark.slow]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_peer_is_the_version_we_mean_and_has_the_messages_we_speak(version: str) -> None:
    source = """
from importlib.metadata import version
from airflow.sdk.execution_time import comms
print(version("apache-airflow-task-sdk"), comms.StartupDetails.__name__)
"""
    assert run_in(version, source).split() == [version, "StartupDetails"]
