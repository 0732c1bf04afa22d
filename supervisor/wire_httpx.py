"""The wire through httpx, for what our own does not do: proxies, and whatever an operator's network asks of a client.

httpx costs ten times what the lean wire costs (docs/decisions), so it is imported only where it is asked for. Its
errors end here.
"""

import ssl

import httpx

from supervisor.http1 import Answer
from supervisor.retrying import Fault
from supervisor.wire import Address, Timeouts, WireFault

UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


class HttpxWire:
    """The same promises as `LeanWire`."""

    def __init__(
        self,
        where: Address,
        *,
        size: int = 64,
        timeouts: Timeouts | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        times = timeouts or Timeouts()
        self._root = f"{'https' if where.secure else 'http'}://{where.authority}{where.root}"
        self._client = httpx.AsyncClient(
            proxy=proxy,
            # The environment's proxies are for browsers; a worker is told its own.
            trust_env=False,
            verify=tls if tls is not None else where.secure,
            timeout=httpx.Timeout(times.answer_s, connect=times.connect_s, pool=None),
            limits=httpx.Limits(max_connections=size, max_keepalive_connections=size),
        )

    async def exchange(
        self, method: str, target: str, headers: bytes, body: bytes | None = None, timeout_s: float | None = None
    ) -> Answer:
        """Ask once."""
        lines = [line.partition(b": ")[::2] for line in headers.split(b"\r\n") if line]
        if body is not None:
            lines.append((b"content-type", b"application/json"))
        request = self._client.build_request(method, self._root + target, headers=lines, content=body)
        if timeout_s is not None:
            request.extensions["timeout"] = httpx.Timeout(timeout_s).as_dict()
        try:
            response = await self._client.send(request)
        except UNSENT as error:
            raise WireFault(Fault.UNSENT, str(error) or type(error).__name__) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise WireFault(Fault.UNANSWERED, str(error) or type(error).__name__) from error
        except RuntimeError as error:  # httpx's way to say that the client was closed
            raise WireFault(Fault.UNSENT, str(error)) from error
        found = {name.lower(): value for name, value in response.headers.raw}
        return Answer(response.status_code, found, response.content)

    async def close(self) -> None:
        """End all connections."""
        await self._client.aclose()
