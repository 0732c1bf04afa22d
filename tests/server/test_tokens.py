"""Tokens: what is let through, what is not, and when a new one comes."""

import base64
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.tokens import (
    ALGORITHM,
    AUDIENCE,
    Expired,
    InvalidToken,
    Scope,
    Tokens,
    WeakSecret,
    secret_in,
    write_private,
)

SECRET = b"s" * 64
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TOKENS = Tokens(SECRET)


UNSIGNED = b".".join(base64.urlsafe_b64encode(part) for part in (b'{"alg":"none"}', b"{}", b"")).decode()


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def signed(claims: dict[str, object], *, algorithm: str = ALGORITHM, secret: bytes = SECRET) -> str:
    return jwt.encode(claims, secret, algorithm)


def good(**more: object) -> dict[str, object]:
    moment = NOW.timestamp()
    return {"aud": AUDIENCE, "exp": moment + 600, "iat": moment, "sub": "a"} | more


def test_a_token_says_what_it_was_minted_with() -> None:
    token = TOKENS.mint(Scope.WORKLOAD, "ti", NOW, fence=7)
    claims = TOKENS.verify(token, NOW)
    assert (claims.scope, claims.sub, claims.fence) == (Scope.WORKLOAD, "ti", 7)
    assert jwt.get_unverified_header(token) == {"alg": "HS512", "typ": "JWT", "kid": "not-used"}


def test_what_we_sign_is_what_the_library_would_sign() -> None:
    token = TOKENS.mint(Scope.WORKLOAD, "ti é", NOW, fence=7)
    claims = jwt.decode(token, SECRET, [ALGORITHM], audience=AUDIENCE, options={"verify_exp": False})
    assert (claims["sub"], claims["scope"], claims["fence"], len(claims["jti"])) == ("ti é", "workload", 7, 32)
    signature = jwt.api_jws.PyJWS().get_algorithm_by_name(ALGORITHM).sign(token.rpartition(".")[0].encode(), SECRET)
    assert base64.urlsafe_b64decode(token.rpartition(".")[2] + "==") == signature


def test_without_a_scope_it_is_an_execution_token() -> None:
    assert TOKENS.verify(signed(good()), NOW).scope is Scope.EXECUTION


def test_its_time_is_compared_also_when_it_was_seen_before() -> None:
    token = TOKENS.mint(Scope.EXECUTION, "ti", NOW)
    TOKENS.verify(token, NOW)
    with pytest.raises(Expired):
        TOKENS.verify(token, later(700))


def test_a_clock_that_is_set_back_shuts_nobody_out() -> None:
    assert TOKENS.verify(TOKENS.mint(Scope.WORKER, "w", NOW, life=600), later(-3600)).sub == "w"


def test_a_token_may_be_made_for_later() -> None:
    token = signed(good(nbf=later(60).timestamp()))
    assert TOKENS.verify(token, later(55)).sub == "a"
    with pytest.raises(InvalidToken, match="not come"):
        TOKENS.verify(token, NOW)


def test_clocks_may_differ_by_the_leeway() -> None:
    token = TOKENS.mint(Scope.EXECUTION, "ti", NOW)
    for moment in (later(-9), later(609)):
        TOKENS.verify(token, moment)


def test_the_leeway_is_not_longer_than_the_life() -> None:
    token = TOKENS.mint(Scope.EXECUTION, "ti", NOW, life=1.0)
    TOKENS.verify(token, later(1.9))
    with pytest.raises(Expired) as raised:
        TOKENS.verify(token, later(2.1))
    assert raised.value.claims.sub == "ti"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "x" * 5000,
        signed(good(), secret=b"t" * 64),
        signed(good(), algorithm="HS256"),
        signed(good(aud="urn:other")),
        signed({key: value for key, value in good().items() if key != "exp"}),
        signed({key: value for key, value in good().items() if key != "iat"}),
        signed({key: value for key, value in good().items() if key != "aud"}),
        signed(good(scope="root")),
        signed(good(exp="never")),
        UNSIGNED,
    ],
)
def test_what_we_did_not_sign_for_us_is_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        TOKENS.verify(token, NOW)


@given(st.text(max_size=200))
def test_no_text_breaks_it(token: str) -> None:
    with pytest.raises(InvalidToken):
        TOKENS.verify(token, NOW)


@pytest.mark.parametrize(
    ("life", "age", "new"),
    [(600, 0, 0), (600, 479, 0), (600, 480, 1), (100, 69, 0), (100, 70, 1), (20, 0, 1)],
)
def test_a_new_one_comes_with_a_fifth_or_half_a_minute_left(life: float, age: float, new: int) -> None:
    tokens = Tokens(SECRET, life=life)
    claims = tokens.verify(tokens.mint(Scope.EXECUTION, "ti", NOW), NOW)
    token = tokens.refreshed(claims, later(age))
    assert (token is not None) == new
    if token is not None:
        renewed = tokens.verify(token, later(age))
        assert (renewed.sub, renewed.scope, renewed.exp - renewed.iat) == ("ti", Scope.EXECUTION, life)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(WeakSecret, match="needs 32 or more"):
        Tokens(b"secret")


def test_the_memory_of_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.tokens.REMEMBERED", 2)
    tokens = Tokens(SECRET)
    for name in "abc":
        tokens.verify(tokens.mint(Scope.EXECUTION, name, NOW), NOW)
    assert len(tokens._seen) == 2  # noqa: SLF001 - that it is bounded cannot be seen from outside


def test_a_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = secret_in(home)
    assert secret_in(home) == first
    assert len(first) >= 64
    assert [file.name for file in home.iterdir()] == ["secret"]
    assert stat.S_IMODE((home / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_private_file_is_private_also_when_it_was_not(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, b"new")
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"new", 0o600)


def test_claims_are_plain_json() -> None:
    payload = TOKENS.mint(Scope.USER, "user", NOW, life=60).split(".")[1]
    claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=="))
    assert claims.keys() == {"jti", "aud", "nbf", "iat", "exp", "sub", "scope"}
