"""The journal's form: what was written is read again, whatever the disk did to the rest."""

import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor import journal
from supervisor.journal import (
    CAP,
    MAGIC,
    VERSION,
    Began,
    NewerVersion,
    Note,
    Opened,
    Owed,
    Renewed,
    Saved,
    Settled,
    Spawned,
    Story,
    Withdrawn,
    frame,
    judge,
    scan,
)
from supervisor.outcome import FailureKind, Outcome

TI = bytes(range(16))
OTHER = bytes(16)
OPENED = Opened(1, "w", 10, 20, "boot", "http://h", 1.0)
BEGAN = Began(TI, 1, "d/r/t/-1", 1, "token", True, True, "/log", None, 30, 40, 2.0)
THIRD = "third"
OWED = Owed(TI, "success", b'{"state":"success"}', "", None, 3.0)

ids = st.sampled_from([TI, OTHER])
texts = st.text(max_size=12)
numbers = st.integers(0, 2**40)
records = st.one_of(
    st.builds(Opened, st.integers(0, 3), texts, numbers, numbers, texts, texts, st.floats(0, 2e9)),
    st.builds(
        Began, ids, st.integers(0, 3), texts, st.integers(1, 9), texts, st.booleans(), st.booleans(), texts,
        st.none() | texts, numbers, numbers, st.floats(0, 2e9),
    ),
    st.builds(Spawned, ids, numbers, numbers),
    st.builds(Saved, ids),
    st.builds(Renewed, ids, texts),
    # A body that holds the magic, whole frames even: what a task says must not be taken for what the journal says.
    st.builds(
        Owed, ids, texts, st.binary(max_size=60) | st.just(MAGIC * 5) | st.just(frame(Settled(TI, "forged"), 1, 0)),
        texts, st.none() | texts, st.floats(0, 2e9),
    ),
    st.builds(Withdrawn, ids),
    st.builds(Settled, ids, texts),
)  # fmt: skip
histories = st.lists(records, max_size=12)


def written(history: list[Note], segment: int = 7) -> tuple[bytes, list[int]]:
    """Give a segment, and where its frames begin and end."""
    data, places = b"", [0]
    for record in history:
        data += frame(record, segment, len(data))
        places.append(len(data))
    return data, places


@given(histories)
def test_what_was_written_is_read_again(history: list[Note]) -> None:
    data, _ = written(history)
    found = scan(data, 7)
    assert (found.records, found.gaps, found.torn) == (history, [], 0)


@given(histories, st.data())
def test_a_tail_torn_anywhere_is_cut_and_nothing_before_it(history: list[Note], draw: st.DataObject) -> None:
    data, places = written(history)
    end = draw.draw(st.integers(0, len(data)))
    found = scan(data[:end], 7)
    whole = sum(place <= end for place in places[1:])
    assert found.records == history[:whole]
    assert found.gaps == []
    assert found.torn == end - places[whole]


@given(histories.filter(bool), st.data())
def test_a_flipped_bit_costs_one_record_and_is_noticed(history: list[Note], draw: st.DataObject) -> None:
    data, places = written(history)
    bit = draw.draw(st.integers(0, len(data) * 8 - 1))
    broken = bytearray(data)
    broken[bit // 8] ^= 1 << bit % 8
    found = scan(bytes(broken), 7)
    hit = next(number for number, place in enumerate(places[1:]) if bit // 8 < place)
    assert found.records == history[:hit] + history[hit + 1 :]
    last = hit == len(history) - 1
    assert (len(found.gaps), found.torn > 0) == ((0, True) if last else (1, False))


@given(histories, st.binary(max_size=80))
def test_what_follows_a_tail_is_no_record(history: list[Note], rubbish: bytes) -> None:
    data, _ = written(history)
    assert scan(data + rubbish, 7).records == history
    assert scan(data + bytes(len(rubbish)), 7).torn == len(rubbish)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fall_over(data: bytes) -> None:
    found = scan(data, 1)
    assert found.torn + sum(gap.length for gap in found.gaps) <= len(data)


def test_frames_of_another_segment_or_place_are_none() -> None:
    data, _ = written([BEGAN, OWED])
    assert scan(data, 8).records == []
    assert scan(b"x" + data, 7).records == []


def test_a_length_beyond_all_measure_is_no_frame() -> None:
    head = journal._HEAD.pack(MAGIC, VERSION, CAP + 1, 0)  # noqa: SLF001 - the form is what is tested
    assert scan(head + bytes(100), 1).torn == len(head) + 100


def sealed(payload: bytes, version: int, segment: int = 1) -> bytes:
    place = zlib.crc32(journal._PLACE.pack(segment, 0, version, len(payload)))  # noqa: SLF001 - as above
    return journal._HEAD.pack(MAGIC, version, len(payload), zlib.crc32(payload, place)) + payload  # noqa: SLF001 - as above


def test_a_newer_version_is_refused_and_a_damaged_version_is_damage() -> None:
    newer = sealed(b"whatever it means", VERSION + 1)
    with pytest.raises(NewerVersion, match=r"version 2.*reads 1") as refused:
        scan(newer, 1)
    assert refused.value.version == VERSION + 1
    data = bytearray(frame(OWED, 1, 0))
    data[3] = VERSION + 1
    assert scan(bytes(data), 1).torn == len(data)


def test_a_whole_frame_that_says_nothing_is_a_gap() -> None:
    first = sealed(msgspec.msgpack.encode(["no such record"]), VERSION)
    found = scan(first + frame(OWED, 1, len(first)), 1)
    assert (found.records, len(found.gaps)) == ([OWED], 1)


# --- the story ----------------------------------------------------------------------------------------------------


def told(*history: Note) -> Story:
    story = Story()
    for record in history:
        story.take(record)
    return story


def state(story: Story) -> tuple[dict[int, Opened], dict[bytes, list[Note]]]:
    return story.sessions, {ti: [*entry.records()] for ti, entry in story.entries.items()}


@given(histories)
def test_a_story_is_the_same_after_it_was_carried_into_another_segment(history: list[Note]) -> None:
    """Also when the old segment is still there: a crash may come between the writing of the one and the other's end."""
    story = told(*history)
    carried = [*story.records(1)]
    assert state(told(*carried))[1] == state(story)[1]
    assert state(told(*history, *carried)) == state(story)


@given(histories)
def test_what_is_settled_is_not_kept(history: list[Note]) -> None:
    story = told(*history, Settled(TI, "told"), Settled(OTHER, "told"))
    assert story.entries == {}
    kept = [each.session for each in story.records(1) if isinstance(each, Opened)]
    assert kept == [number for number in story.sessions if number == 1]


def test_sessions_stay_as_long_as_attempts_are_of_them() -> None:
    story = told(OPENED, BEGAN, Opened(2, "x", 1, 1, "b", "u", 1.0), Opened(3, "y", 1, 1, "b", "u", 1.0))
    assert [each.session for each in story.records(3) if isinstance(each, Opened)] == [1, 3]


def known(*history: Note) -> tuple[str | None, tuple[int, int] | None]:
    entry = told(*history).entries[TI]
    return entry.token, entry.process


def test_an_entry_knows_its_newest_token_and_its_process() -> None:
    spawned, renewed, newest = Spawned(TI, 31, 41), Renewed(TI, "2"), msgspec.structs.replace(OWED, token=THIRD)
    assert known(Saved(TI)) == (None, None)
    assert known(BEGAN) == ("token", (30, 40))
    assert known(msgspec.structs.replace(BEGAN, pid=0)) == ("token", None)
    assert known(BEGAN, spawned) == ("token", (31, 41))
    assert known(BEGAN, renewed, OWED) == ("2", (30, 40))
    assert known(BEGAN, renewed, newest) == (THIRD, (30, 40))


def test_a_word_that_was_withdrawn_and_of_which_all_else_is_damaged_leaves_nothing() -> None:
    assert told(OWED, Withdrawn(TI)).entries == {}


def test_a_word_that_was_withdrawn_is_not_owed_and_the_next_one_is() -> None:
    story = told(BEGAN, OWED, Withdrawn(TI), Withdrawn(OTHER))
    assert story.entries[TI].owed is None
    other = msgspec.structs.replace(OWED, state="failed")
    story.take(other)
    assert story.entries[TI].owed == other


@pytest.mark.parametrize(
    ("history", "checkpoint", "row", "outcome", "kind"),
    [
        ([BEGAN, OWED], False, "said, told at the end", None, None),
        ([BEGAN, OWED], True, "said, told at the end", None, None),
        ([BEGAN], False, "lost, retry", Outcome.UP_FOR_RETRY, FailureKind.LOST),
        ([msgspec.structs.replace(BEGAN, retries_left=False)], False, "lost", Outcome.FAILED, FailureKind.LOST),
        ([Saved(TI)], False, "lost", Outcome.FAILED, FailureKind.LOST),
        ([BEGAN, Saved(TI)], True, "stopped on a checkpoint", Outcome.CHECKPOINTED, None),
    ],
)
def test_the_truth_about_an_attempt_whose_worker_was_killed(
    history: list[Note],
    checkpoint: bool,  # noqa: FBT001 - a column
    row: str,
    outcome: Outcome | None,
    kind: FailureKind | None,
) -> None:
    verdict = judge(told(*history).entries[TI], checkpoint=checkpoint)
    assert (verdict.row, verdict.outcome, verdict.kind) == (row, outcome, kind)


def test_a_frame_cut_before_its_head_is_over_is_a_tail() -> None:
    data, places = written([BEGAN, OWED])
    found = scan(data[: places[1] + 2], 7)
    assert (found.records, found.gaps, found.torn) == ([BEGAN], [], 2)


def test_what_is_settled_is_kept_no_longer_and_may_be_settled_twice() -> None:
    story = Story()
    for record in (OPENED, BEGAN, OWED, Settled(TI, "accepted"), Settled(TI, "accepted")):
        story.take(record)
    assert story.entries == {}
    assert list(story.records(1)) == [OPENED]
