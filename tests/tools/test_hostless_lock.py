from hypothesis import given
from hypothesis import strategies as st

from tests.architecture.layout import ROOT
from tools.hostless_lock import without_hosts

PIECES = st.sampled_from(
    ["registry = ", "url = ", "path = ", '"', "https://", "http://", "a.example/", "x-1.whl", "{ ", " }", "\n", ", "]
)


def test_addresses_are_taken_out_of_the_index_and_of_its_files() -> None:
    assert without_hosts('{ registry = "https://a.example/simple" }') == '{ registry = "index" }'
    assert (
        without_hosts('{ url = "https://a.example/b/c/x-1.tar.gz", size = 3 }') == '{ path = "x-1.tar.gz", size = 3 }'
    )


def test_the_lock_is_as_the_tool_leaves_it() -> None:
    lock = (ROOT / "uv.lock").read_text()
    assert without_hosts(lock) == lock


@given(st.lists(PIECES).map("".join))
def test_what_was_rewritten_is_not_rewritten_again_and_no_line_is_lost(text: str) -> None:
    once = without_hosts(text)
    assert without_hosts(once) == once
    assert once.count("\n") <= text.count("\n")
