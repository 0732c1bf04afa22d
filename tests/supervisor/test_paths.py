from datetime import UTC, datetime
from urllib.parse import unquote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.paths import path, query, quote


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_name_stays_one_segment_and_comes_back(name: str) -> None:
    quoted = quote(name)
    assert quoted.isascii()
    assert not set(quoted) & set("/?#& ")
    assert unquote(quoted) == name


@pytest.mark.parametrize(("name", "quoted"), [(".", "%2E"), ("..", "%2E%2E"), ("a.b", "a.b"), ("a/b", "a%2Fb")])
def test_segments_that_mean_something_to_a_proxy_do_not(name: str, quoted: str) -> None:
    assert path("x", name) == f"/x/{quoted}"


def test_a_lone_surrogate_is_quoted_too() -> None:
    assert quote("\ud800") == "%ED%A0%80"


def test_a_path_takes_ids_and_numbers() -> None:
    assert path("a", UUID(int=1), 3) == "/a/00000000-0000-0000-0000-000000000001/3"


def test_a_query_repeats_lists_and_leaves_out_what_is_none() -> None:
    assert query(a=None) == ""
    assert query(a="x y", b=[1, 2], c=None, d=True, e=False) == "?a=x%20y&b=1&b=2&d=true&e=false"
    assert query(at=datetime(2026, 1, 1, tzinfo=UTC)) == "?at=2026-01-01T00%3A00%3A00Z"
