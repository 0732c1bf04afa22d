"""Paths, as they come and as they are routed."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.door import plain


@pytest.mark.parametrize(
    ("raw", "routed"),
    [
        ("/execution/variables/a", "/execution/variables/a"),
        ("/execution/variables/a/b//c", "/execution/variables/a%2Fb%2F%2Fc"),
        ("/execution/variables/a%2Fb", "/execution/variables/a%2Fb"),
        ("/execution/variables/..", "/execution/variables/.."),
        ("/execution/variables/../dag-runs/d/r", "/execution/variables/..%2Fdag-runs%2Fd%2Fr"),
        ("/execution/variables/keys", "/execution/variables/keys"),
        ("/execution/variables/%6Beys", "/execution/variables/%6Beys"),
        ("/execution/variables/a/item/3", "/execution/variables/a%2Fitem%2F3"),
        ("/execution/xcoms/d/r/t/k", "/execution/xcoms/d/r/t/k"),
        ("/execution/xcoms/d/r/t/k/item/-3", "/execution/xcoms/d/r/t/k/item/-3"),
        ("/execution/xcoms/d/r/t/a/b/item/3", "/execution/xcoms/d/r/t/a%2Fb/item/3"),
        ("/execution/xcoms/d/r/t/a/b/slice", "/execution/xcoms/d/r/t/a%2Fb/slice"),
        ("/execution/xcoms/d/r%2F1/t/a/item/x", "/execution/xcoms/d/r%2F1/t/a%2Fitem%2Fx"),
        ("/execution/xcoms/d/r/t/slice", "/execution/xcoms/d/r/t/slice"),
        ("/execution/store/ti/i/a/b", "/execution/store/ti/i/a%2Fb"),
        ("/execution/store/ti/i", "/execution/store/ti/i"),
        ("/api/connections/a/b", "/api/connections/a%2Fb"),
        ("/execution/dag-runs/count", "/execution/dag-runs/count"),
        ("/execution/dag-runs/count/r", "/execution/dag-runs/%63ount/r"),
        ("/execution/dag-runs/previous/r/state", "/execution/dag-runs/%70revious/r/state"),
        ("/anything/else//at/all", "/anything/else//at/all"),
    ],
)
def test_a_path_is_taken_apart_before_it_is_decoded(raw: str, routed: str) -> None:
    assert plain(raw) == routed


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#"), min_size=1))
def test_a_key_reaches_its_route_in_one_piece(key: str) -> None:
    routed = plain(f"/execution/variables/{key}").removeprefix("/execution/variables/")
    assert "/" not in routed
    assert unquote(routed) == unquote(key)
