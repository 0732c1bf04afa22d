"""Whom a worker calls: the server that it was told of, and nobody else."""

import socket
from pathlib import Path

import msgspec
import pytest

from bench.minimal_api import MinimalApi
from tests.system.test_commands import output, worker, workload
from tests.system.world import play

pytestmark = pytest.mark.slow

NAMES = ("http_proxy", "https_proxy", "all_proxy")


def test_a_proxy_in_the_environment_is_not_called(tmp_path: Path) -> None:
    """Nor is anyone else: a program that would call abroad on such a machine would call it."""

    async def scenario(proxy: str) -> MinimalApi:
        api = MinimalApi()
        url = await api.start()
        text = msgspec.json.encode(workload(api, task_id="say.success")).decode()
        environ = {name: proxy for word in NAMES for name in (word, word.upper())}
        code, _, err = await output(
            await worker(tmp_path, "exec", "--json-string", text, "--api", url, **environ, no_proxy="", NO_PROXY="")
        )
        await api.stop()
        assert code == 0, err
        return api

    with socket.create_server(("127.0.0.1", 0)) as listener:
        api = play(scenario(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert [call.path.rpartition("/")[2] for call in api.calls][:1] == ["run"]
