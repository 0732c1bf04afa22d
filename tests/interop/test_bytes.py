"""Every message of every union, in every way to fill it: theirs read by us, ours read by them, and the values compared.

Both sides make their own samples from their own types, so a field, an alternative or a constraint that only one side
has shows. What one side refuses or takes otherwise is in `differences.toml`.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from protocol.codec import Codec, Question, Reply, Unreadable, outgoing
from protocol.frames import FrameReader, encode_frame
from protocol.messages.shape import Message
from protocol.versions import exists
from protocol.vocabulary import ANSWERS, OURS
from tests.interop.differences import listed_at
from tests.interop.ours import QUESTIONS, UNIONS, samples, unlike
from tests.interop.peers import Peer

pytestmark = [pytest.mark.interop, pytest.mark.slow]

CARRIER = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}
ONLY_OURS = OURS | (
    {ANSWERS[question].reply for question in OURS} - {ANSWERS[question].reply for question in set(ANSWERS) - OURS}
)
Troubles = list[tuple[str, str]]
"""Messages that were refused or taken otherwise, each with what was said about it."""


def codec_of(union: str, version: str) -> Codec[Any]:
    return Codec(Question if union in QUESTIONS else Reply, UNIONS[union], version)


def read(codec: Codec[Any], frame: bytes) -> Any:
    (payload,) = FrameReader().feed(frame)
    return codec.read(payload)


def ours_of(union: str, version: str) -> list[type[Message]]:
    """The messages of ours that a peer should know."""
    vocabulary = UNIONS[union]
    members = vocabulary.questions if union in QUESTIONS else vocabulary.replies | {vocabulary.greeting}
    known = (each for each in members - ONLY_OURS if exists(each.__name__, version))
    return sorted(known, key=lambda each: each.__name__)


def frames_of(union: str, version: str) -> Iterator[tuple[bytes, Any]]:
    """Every sample of ours as it goes out, with what it says there. What our own reader refuses is no sample."""
    codec = codec_of(union, version)
    for message in ours_of(union, version):
        for number, sample in enumerate(samples(message)):
            carrier = CARRIER if union in QUESTIONS and number % 2 else None
            frame = encode_frame([number, outgoing(sample, version), carrier])
            again = read(codec, frame)
            if not isinstance(again, Unreadable):
                yield frame, again


def unknown(peer: Peer, union: str, to: str) -> set[str]:
    """The messages of a union that one side does not know."""
    return {row["message"] for row in listed_at("unknown", peer.version) if (row["union"], row["to"]) == (union, to)}


def assert_listed(by: str, peer: Peer, union: str, troubles: Troubles) -> None:
    known = unknown(peer, union, by)
    rows = [row for row in listed_at("bytes", peer.version) if row["by"] == by and union in row["unions"]]
    unlisted = [each for each in troubles if each[0] not in known and not any(_fits(row, each) for row in rows)]
    assert not unlisted, f"{len(unlisted)} by {by}: {unlisted[:3]}"
    unfound = [row for row in rows if not any(_fits(row, each) for each in troubles)]
    assert not unfound, f"listed as trouble by {by}, and no longer so: {unfound}"


def _fits(row: dict[str, Any], trouble: tuple[str, str]) -> bool:
    return row["message"] == trouble[0] and re.search(row["saying"], trouble[1]) is not None


@pytest.mark.parametrize("union", UNIONS)
def test_what_they_write_we_read_as_they_meant_it(peer: Peer, union: str) -> None:
    codec = codec_of(union, peer.wire)
    troubles: Troubles = []
    rows = peer.do("write", union=union)
    for row in rows:
        frame = read(codec, bytes.fromhex(row["hex"]))
        if isinstance(frame, Unreadable):
            troubles.append((row["type"], str(frame.fault)))
            continue
        assert (frame.id, type(frame.body).__name__) == (row["id"], row["type"])
        assert getattr(frame, "carrier", None) == row["carrier"]
        troubles += [(row["type"], each) for each in unlike(frame.body, row["value"])]
    assert_listed("us", peer, union, troubles)
    assert len(rows) > 4 * len({row["type"] for row in rows})


@pytest.mark.parametrize("union", UNIONS)
def test_what_we_write_they_read_as_we_meant_it(peer: Peer, union: str) -> None:
    written = list(frames_of(union, peer.wire))
    answers = peer.do("read", union=union, frames=[frame.hex() for frame, _ in written])
    troubles: Troubles = []
    for (_, meant), row in zip(written, answers, strict=True):
        name = type(meant.body).__name__
        if "refused" in row:
            troubles.append((name, row["refused"]))
            continue
        assert (row["id"], row["type"]) == (meant.id, name)
        assert row.get("carrier") == getattr(meant, "carrier", None)
        troubles += [(name, each) for each in unlike(meant.body, row["value"])]
    assert_listed("them", peer, union, troubles)
    assert len(written) > 4 * len({type(meant.body) for _, meant in written})


@pytest.mark.parametrize("union", UNIONS)
def test_each_side_knows_each_message_of_the_other(peer: Peer, union: str) -> None:
    theirs = {row["type"] for row in peer.do("write", union=union)}
    ours = {message.__name__ for message in ours_of(union, peer.wire)}
    assert theirs - ours == unknown(peer, union, "us")
    assert ours - theirs == unknown(peer, union, "them")
