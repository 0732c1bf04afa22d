import json
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.logs_masking import MASK, Masker


def test_secrets_are_replaced_wherever_they_are() -> None:
    masker = Masker(["hunter2", "s3cr3t"])
    assert masker.mask("a hunter2 b s3cr3thunter2 c") == f"a {MASK} b {MASK}{MASK} c"
    assert masker.mask("nothing here") == "nothing here"


def test_the_longer_of_two_wins() -> None:
    masker = Masker(["pass", "password", "passwords!"])
    assert masker.mask("pass password passwords! passwords") == f"{MASK} {MASK} {MASK} {MASK}s"


def test_what_expressions_are_made_of_is_text_in_a_secret() -> None:
    masker = Masker(["a.*b", "(x|y)", "[z]+"])
    assert masker.mask("a.*b (x|y) [z]+ aQQb x z") == f"{MASK} {MASK} {MASK} aQQb x z"


def test_what_is_too_short_is_not_a_secret() -> None:
    masker = Masker(["", "a", "ab", "  \n ", "x\ny"])
    assert masker.mask("a ab x\ny") == f"a ab {MASK}"
    assert masker.longest == 4  # as JSON has it


def test_a_secret_of_many_lines_is_masked_line_by_line_too() -> None:
    masker = Masker(["-----BEGIN-----\nline one\nline two\n"])
    assert masker.mask("got line one and -----BEGIN-----") == f"got {MASK} and {MASK}"


@pytest.mark.parametrize("secret", ['quo"te', "back\\slash", "new\nline1", "schlüssel", "tab\tbed", "emoji🔑key"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_secret_is_masked_in_json_as_well(secret: str, ascii_only: bool) -> None:  # noqa: FBT001 - a parameter of pytest's
    masked = Masker([secret]).mask(json.dumps({"k": secret}, ensure_ascii=ascii_only))
    assert json.loads(masked) == {"k": MASK}


def test_values_of_all_kinds_are_taken_apart() -> None:
    masker = Masker([{"login": "userone", "extra": ["tokenA", ("tokenB", {"tokenC"})], "port": 5432, "no": None}])
    masker.add(b"bytes-secret")
    masker.add(True)
    masker.add(12.5)
    assert masker.mask("userone tokenA tokenB tokenC bytes-secret 5432 12.5") == " ".join([MASK] * 5 + ["5432", "12.5"])


def test_values_are_masked_in_their_depth() -> None:
    masker = Masker(["secret", "123456"])
    value = {"a secret": ["a secret", 1, None, True, {"n": 123456, "m": 1234567, "f": 1.5}]}
    assert masker.mask_value(value) == {f"a {MASK}": [f"a {MASK}", 1, None, True, {"n": MASK, "m": 1234567, "f": 1.5}]}


def test_secrets_may_be_added_again_and_again() -> None:
    masker = Masker(["secret"])
    before = masker.longest
    masker.add("secret")
    assert masker.longest == before == 6
    masker.add("longer-secret")
    assert masker.longest == 13


@given(st.lists(st.text(alphabet="abc", min_size=3, max_size=6)), st.text(alphabet="abcd"))
def test_nothing_of_a_secret_is_left(secrets: list[str], text: str) -> None:
    masked = Masker([*secrets]).mask(text)
    assert (masked != text) == any(secret in text for secret in secrets)
    for part in masked.split(MASK):
        assert not any(secret in part for secret in secrets)


def test_thousands_of_secrets_and_long_ones_are_no_trouble() -> None:
    began = time.perf_counter()
    masker = Masker([f"token-{number * 7919:08x}-{number}" for number in range(3000)] + ["x" * 20_000])
    text = ("a line without any of them, token-by-token, of a usual length\n" * 1000) + "x" * 20_000
    assert masker.mask(text).endswith(f"\n{MASK}")
    assert time.perf_counter() - began < 5.0


def test_lone_surrogates_are_text_too() -> None:
    assert Masker(["abc\ud800def"]).mask("abc\ud800def") == MASK


def test_order_does_not_matter() -> None:
    secrets = ["abc", "abcdef", "def"]
    results = {Masker(order).mask("abcdefabc") for order in (secrets, secrets[::-1], sorted(secrets, key=len))}
    assert results == {MASK * 2}
    assert all(one == other for one, other in pairwise(results))


def test_another_masker_can_be_made_of_its_secrets() -> None:
    masker = Masker([{"a": 'quo"ted', "b": ["two\nlines"]}])
    assert {*masker.secrets} <= {*Masker(masker.secrets).secrets}
    assert Masker(masker.secrets).mask('quo"ted lines') == f"{MASK} {MASK}"
