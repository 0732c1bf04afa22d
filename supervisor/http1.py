"""HTTP/1.1 as a client of one API needs it: a request as bytes, an answer from bytes. No socket.

Why our own. An API call costs a hand-written client a thirtieth of a millisecond, and async httpx half of one; an
attempt makes two calls at least, and the rest of it costs three milliseconds (docs/decisions, measured). What is left
out is what an execution API has no use for: redirects, cookies, compression, upgrades, pipelining. Whoever needs a
proxy gets httpx (`supervisor.wire_httpx`), under the same interface.

Every size is bounded before it is held, and everything malformed is one error, `BadAnswer`: it means that whatever
answered is no execution API, and that the connection is of no further use.
"""

from msgspec import Struct

HEAD_CAP = 64 * 1024
BODY_CAP = 64 * 1024 * 1024
END = b"\r\n\r\n"
BODILESS = frozenset({204, 304})


class BadAnswer(Exception):
    """Not an answer of HTTP/1.1, or one past the bounds."""


class Answer(Struct, frozen=True, gc=False):
    """An answer, whole. Header names are in lower case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    keep: bool = True
    """Whether the connection may be used again."""

    def header(self, name: bytes) -> str | None:
        """Give one header's value as text."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


def request(method: str, target: str, headers: bytes, body: bytes | None) -> bytes:
    """Give a request's bytes. The target is quoted already, and `headers` are whole lines; both come from us."""
    line = f"{method} {target} HTTP/1.1\r\n".encode("ascii")
    if body is None:
        return b"%b%b\r\n" % (line, headers)
    return b"%b%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (line, headers, len(body), body)


class AnswerReader:
    """Reads one answer. `feed` gives it when it is whole."""

    def __init__(self, *, bodiless: bool = False, body_cap: int = BODY_CAP) -> None:
        self._bodiless = bodiless
        self._cap = body_cap
        self._data = bytearray()
        self._status = 0
        self._headers: dict[bytes, bytes] | None = None
        self._length: int | None = None
        self._chunks: list[bytes] | None = None
        self._chunked = 0
        self._keep = True

    @property
    def begun(self) -> bool:
        """Whether a byte of it came."""
        return bool(self._data) or self._headers is not None

    def feed(self, data: bytes) -> Answer | None:
        """Take bytes; give the answer when it is whole."""
        self._data += data
        while self._headers is None:
            if not self._read_head():
                return None
        return self._read_body(self._headers)

    def end(self) -> Answer | None:
        """Take the end of the stream: for an answer that has no length, that is where its body ends."""
        if self._headers is not None and self._length is None and self._chunks is None:
            return self._answer(self._headers, bytes(self._data), len(self._data), keep=False)
        return None

    def _read_head(self) -> bool:
        end = self._data.find(END)
        if end < 0 or end > HEAD_CAP:
            if len(self._data) > HEAD_CAP:
                raise BadAnswer(f"a head of more than {HEAD_CAP} bytes")
            return False
        first, *lines = bytes(self._data[:end]).split(b"\r\n")
        del self._data[: end + len(END)]
        status = _status(first)
        if status >= 200:  # noqa: PLR2004 - below it, an interim answer: the real one follows
            self._status = status
            self._take(_headers(lines), old=first.startswith(b"HTTP/1.0"))
            return True
        return bool(self._data) and self._read_head()

    def _take(self, headers: dict[bytes, bytes], *, old: bool) -> None:
        self._headers = headers
        connection = headers.get(b"connection", b"").lower()
        self._keep = b"close" not in connection and (not old or b"keep-alive" in connection)
        if self._bodiless or self._status in BODILESS:
            self._length = 0
        elif b"chunked" in headers.get(b"transfer-encoding", b"").lower():
            self._chunks = []
        elif (length := headers.get(b"content-length")) is not None:
            if not length.isdigit():
                raise BadAnswer(f"a length of {length[:40]!r}")
            self._length = int(length)
            self._bound(self._length)

    def _read_body(self, headers: dict[bytes, bytes]) -> Answer | None:
        if self._chunks is not None:
            return self._read_chunks(headers, self._chunks)
        if self._length is None:
            self._bound(len(self._data))
            return None
        if len(self._data) < self._length:
            return None
        return self._answer(headers, bytes(self._data[: self._length]), self._length, keep=self._keep)

    def _answer(self, headers: dict[bytes, bytes], body: bytes, used: int, *, keep: bool) -> Answer:
        # Bytes beyond the answer belong to no question of ours: whatever they are, this connection has lost count.
        return Answer(self._status, headers, body, keep and len(self._data) == used)

    def _read_chunks(self, headers: dict[bytes, bytes], chunks: list[bytes]) -> Answer | None:
        while True:
            line = self._data.find(b"\r\n")
            if line < 0:
                if len(self._data) > HEAD_CAP:
                    raise BadAnswer("a chunk without a length")
                return None
            size = _chunk_size(bytes(self._data[:line]))
            if size == 0:
                return self._read_trailer(headers, chunks, line)
            self._bound(self._chunked + size)
            end = line + 2 + size
            if len(self._data) < end + 2:
                return None
            if self._data[end : end + 2] != b"\r\n":
                raise BadAnswer("a chunk longer than its length")
            chunks.append(bytes(self._data[line + 2 : end]))
            self._chunked += size
            del self._data[: end + 2]

    def _read_trailer(self, headers: dict[bytes, bytes], chunks: list[bytes], line: int) -> Answer | None:
        # `line` is where the last chunk's length ends; trailers, if any, end like a head does.
        end = self._data.find(END, line)
        if end < 0:
            if len(self._data) > HEAD_CAP:
                raise BadAnswer("a trailer without an end")
            return None
        return self._answer(headers, b"".join(chunks), end + len(END), keep=self._keep)

    def _bound(self, size: int) -> None:
        if size > self._cap:
            raise BadAnswer(f"a body of {size} bytes, where {self._cap} are the most")


def _status(line: bytes) -> int:
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if version not in {b"HTTP/1.1", b"HTTP/1.0"} or not code.isdigit() or rest[3:4] not in {b"", b" "}:
        raise BadAnswer(f"{line[:80]!r} instead of a status")
    return int(code)


def _headers(lines: list[bytes]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise BadAnswer(f"{line[:80]!r} instead of a header")
        key = name.lower()
        if key == b"content-length" and headers.get(key, value.strip()) != value.strip():
            raise BadAnswer("two lengths")
        headers[key] = value.strip()
    return headers


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    try:
        size = int(digits, 16)
    except ValueError:
        size = -1
    if size < 0 or digits[:1] in {b"+", b"-"} or b"_" in digits:
        raise BadAnswer(f"{line[:40]!r} instead of a chunk's length")
    return size
