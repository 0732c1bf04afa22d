import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.logs_masking import MASK, Masker
from supervisor.logs_records import Manner, Source, cut, logged, printed, said, split, stamp

NOW = "2026-01-02T03:04:05.000006Z"
PLAIN = Manner(NOW, Masker(), 100)


def told(record: bytes) -> list[dict[str, object]]:
    assert record.endswith(b"\n")
    lines = record[:-1].split(b"\n")
    return [json.loads(line) for line in lines]


def test_a_moment_is_written_as_the_log_channel_has_it() -> None:
    assert stamp(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)) == NOW


def test_printed_lines_are_records() -> None:
    assert told(printed(Source.STDOUT, b"one\ntwo", PLAIN)) == [
        {"timestamp": NOW, "level": "info", "source": "stdout", "event": "one"},
        {"timestamp": NOW, "level": "info", "source": "stdout", "event": "two"},
    ]
    assert told(printed(Source.STDERR, b"", PLAIN))[0]["level"] == "error"


def test_carriage_returns_before_an_end_are_the_end_s() -> None:
    assert [record["event"] for record in told(printed(Source.STDOUT, b"a\r\nb\rc\r", PLAIN))] == ["a", "b\rc"]


def test_a_line_that_is_long_says_how_much_is_missing() -> None:
    short, long = told(printed(Source.STDOUT, b"short\n" + b"x" * 250, PLAIN))
    assert "cut_bytes" not in short
    assert (long["event"], long["cut_bytes"]) == ("x" * 100, 150)
    assert told(cut(Source.STDOUT, b"abc", 7, PLAIN))[0]["cut_bytes"] == 7
    assert told(cut(Source.STDOUT, b"x" * 110, 7, PLAIN))[0] == long | {"cut_bytes": 17}


def test_two_short_lines_that_are_long_together_are_whole() -> None:
    assert all(
        "cut_bytes" not in record for record in told(printed(Source.STDOUT, b"x" * 60 + b"\n" + b"y" * 60, PLAIN))
    )


def test_secrets_are_masked_in_all_of_them() -> None:
    manner = Manner(NOW, Masker(["hunter2", "987654"]), 100)
    line = json.dumps({"level": "info", "event": "is hunter2", "deep": [{"hunter2": 987654}]}).encode()
    assert told(printed(Source.STDOUT, b"is hunter2", manner))[0]["event"] == f"is {MASK}"
    assert told(cut(Source.STDOUT, b"is hunter2", 1, manner))[0]["event"] == f"is {MASK}"
    assert told(logged(line, manner))[0] == {
        "timestamp": NOW, "level": "info", "source": "log", "event": f"is {MASK}", "deep": [{MASK: MASK}],
    }  # fmt: skip
    assert told(said("info", "hunter2", {"x": ("hunter2",)}, NOW, manner.masker))[0]["x"] == [MASK]


def test_a_secret_that_is_cut_in_the_middle_is_masked_before() -> None:
    manner = Manner(NOW, Masker(["hunter2"]), 100)
    (record,) = told(cut(Source.STDOUT, b"x" * 96 + b"hunter2", 500, manner))
    assert record["event"] == "x" * 96 + MASK


def test_a_good_log_line_keeps_all_it_says() -> None:
    line = b'{"event":"e","timestamp":"2025-05-06T07:08:09.123Z","level":"WARN","logger":"l","n":1,"lineno":3}'
    (record,) = told(logged(line, PLAIN))
    assert list(record)[:4] == ["timestamp", "level", "source", "event"]
    assert record == {
        "timestamp": "2025-05-06T07:08:09.123Z", "level": "warning", "source": "log", "event": "e",
        "logger": "l", "n": 1, "lineno": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ({"event": "e"}, {}),
        ({"event": "e", "timestamp": None, "level": None}, {}),
        ({"event": "e", "timestamp": 5}, {"invalid_timestamp": 5}),
        ({"event": "e", "timestamp": "yesterday"}, {"invalid_timestamp": "yesterday"}),
        ({"event": "e", "level": "loud"}, {"invalid_level": "loud"}),
        ({"event": "e", "level": 20}, {"invalid_level": 20}),
        ({"event": "e", "level": "notset"}, {"invalid_level": "notset"}),
        ({"event": "e", "msg": "y", "target": "z"}, {"msg": "y", "target": "z"}),
        ({"event": "e", "source": "mine"}, {"task_source": "mine"}),
        ({"event": {"not": "text"}}, {"event": {"not": "text"}}),
        ({}, {"event": ""}),
    ],
)
def test_what_is_wrong_in_a_log_line_is_kept_under_another_name(
    line: dict[str, object], more: dict[str, object]
) -> None:
    base = {"timestamp": NOW, "level": "info", "source": "log", "event": "e"}
    assert told(logged(json.dumps(line).encode(), PLAIN)) == [base | more]


@pytest.mark.parametrize(
    "line",
    [
        b"not json", b"[1,2]", b'"text"', b"17", b"null", b"{", b'{"a":NaN}', b"\xff\xfe", b"\x00\x00", b"[" * 5000,
        b'{"a":' * 3000 + b"1" + b"}" * 3000, b'{"event":"\xff"}', b'{"a":1}{"b":2}',
    ],
)  # fmt: skip
def test_what_is_no_log_line_is_kept_as_text(line: bytes) -> None:
    (record,) = told(logged(line, Manner(NOW, Masker(), 100_000)))
    assert (record["level"], record["source"]) == ("error", "log")
    assert record["event"] == line.decode("utf-8", "backslashreplace")


def test_numbers_of_any_size_do_no_harm() -> None:
    (record,) = told(
        logged(b'{"event":"e","n":' + b"9" * 400 + b',"m":1e999,"k":-123456789012345678901234567890}', PLAIN)
    )
    assert record["source"] == "log"


def test_what_the_supervisor_says_has_the_same_form() -> None:
    assert told(said("error", "gone", {"at": datetime(2026, 1, 1, tzinfo=UTC)}, NOW, Masker())) == [
        {"timestamp": NOW, "level": "error", "source": "supervisor", "event": "gone", "at": "2026-01-01T00:00:00Z"}
    ]


def test_empty_lines_of_the_log_channel_are_nothing() -> None:
    assert split(b"a\n\n  \nb") == [b"a", b"b"]


@given(st.binary())
def test_nothing_that_can_be_printed_breaks_the_log(data: bytes) -> None:
    for source in (Source.STDOUT, Source.STDERR, Source.LOG):
        records = told(printed(source, data, Manner(NOW, Masker(), 10_000)))
        assert len(records) == data.count(b"\n") + 1
        assert all(isinstance(record["event"], str) for record in records)
    if b"\n" not in data:
        assert len(told(logged(data, PLAIN))) == 1
