"""Who may ask what: bearer tokens, signed with the server's secret.

A token has one scope. `workload` is minted with a claim and good for starting that attempt; `execution` is what it is
swapped for, and is reissued when little of its life is left; `worker` claims; `user` is for people. A task's tokens
name its attempt in `sub`, so that they fit nothing else, and a replaced attempt's fit nothing at all. When a server was
away for longer than an execution token lives, it is as good as the claim that it names (`admission`).

Tokens are verified by HMAC in constant time. The signature of a token that was seen, or that we have just made, is
remembered, its life is not: that is compared with the clock each time.
"""

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections import OrderedDict
from datetime import datetime
from enum import StrEnum
from os import urandom
from pathlib import Path
from uuid import uuid4

import jwt
import msgspec
from msgspec import Struct

ALGORITHM = "HS512"
AUDIENCE = "urn:airflow.apache.org:task"
SECRET_BYTES = 64
REMEMBERED = 10_000
SWAPS_BELOW = 0.2
SWAPS_BELOW_S = 30.0


def _base64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


_encode = msgspec.json.Encoder().encode
_HEADER = _base64(_encode({"alg": ALGORITHM, "kid": "not-used", "typ": "JWT"}))


class Scope(StrEnum):
    """What a token is for."""

    WORKLOAD = "workload"
    EXECUTION = "execution"
    WORKER = "worker"
    USER = "user"


class Claims(Struct, frozen=True):
    """What a token says. Without a scope it is an execution token, as the first ones were."""

    sub: str
    exp: float
    iat: float
    aud: str | list[str]
    scope: Scope = Scope.EXECUTION
    nbf: float = 0.0
    jti: str = ""
    fence: int | None = None
    """The claim that a task's token belongs to: what was claimed anew is no longer his who had it before."""

    def is_for(self, audience: str) -> bool:
        """Whether it was minted for us."""
        return audience in ([self.aud] if isinstance(self.aud, str) else self.aud)


class InvalidToken(Exception):
    """Why a token is no good, for the log; whoever sent it is told only that."""


class Expired(InvalidToken):
    """A token of ours whose time is over; what it said."""

    def __init__(self, claims: Claims) -> None:
        super().__init__("its time is over")
        self.claims = claims


class WeakSecret(ValueError):
    """A secret that is short enough to be guessed."""


class Tokens:
    """Mints and verifies."""

    def __init__(self, secret: bytes, *, life: float = 600.0, queued_life: float = 600.0, leeway: float = 10.0) -> None:
        if len(secret) < SECRET_BYTES // 2:
            raise WeakSecret(f"the secret has {len(secret)} bytes; it needs {SECRET_BYTES // 2} or more")
        self._secret = secret
        self._lives = {Scope.EXECUTION: life, Scope.WORKLOAD: queued_life}
        self._leeway = leeway
        self._seen: OrderedDict[str, Claims] = OrderedDict()

    def mint(self, scope: Scope, subject: str, now: datetime, *, life: float | None = None, **more: object) -> str:
        """Sign a token."""
        moment = now.timestamp()
        claims: dict[str, object] = {
            "jti": urandom(16).hex(),
            "aud": AUDIENCE,
            "nbf": int(moment),
            "iat": int(moment),
            "exp": int(moment + (life or self._lives[scope])),
            "sub": subject,
            "scope": scope.value,
        }
        claims |= more
        token = self._sign(claims)
        self._remember(token, msgspec.convert(claims, Claims))
        return token

    def _sign(self, claims: dict[str, object]) -> str:
        """Sign as the library does, which looks at the key anew each time: six times as long. The library verifies."""
        signed = b"%s.%s" % (_HEADER, _base64(_encode(claims)))
        return (b"%s.%s" % (signed, _base64(hmac.digest(self._secret, signed, "sha512")))).decode()

    def verify(self, token: str, now: datetime) -> Claims:
        """Give what a token says, when we signed it, for us, and its time is now."""
        claims = self._seen.get(token)
        if claims is None:
            claims = self._decode(token)
            self._remember(token, claims)
        moment = now.timestamp()
        leeway = min(self._leeway, claims.exp - claims.iat)
        if moment > claims.exp + leeway:
            raise Expired(claims)
        # One that was to begin when it was made cannot be early: it is our clock that was set back since.
        if claims.nbf > claims.iat and moment < claims.nbf - leeway:
            raise InvalidToken("its time has not come")
        return claims

    def _remember(self, token: str, claims: Claims) -> None:
        self._seen[token] = claims
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    def _decode(self, token: str) -> Claims:
        # Times are ours to compare, with a clock that is an argument; everything else is the library's.
        options: jwt.types.Options = {
            "require": ["exp", "iat", "aud"],
            "verify_signature": True,
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
            "verify_sub": False,
            "verify_jti": False,
        }
        try:
            payload = jwt.decode(token, self._secret, [ALGORITHM], audience=AUDIENCE, options=options)
            return msgspec.convert(payload, Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError) as error:
            raise InvalidToken(str(error)) from None

    def refreshed(self, claims: Claims, now: datetime) -> str | None:
        """Give a new execution token when little is left of this one: a fifth, or half a minute."""
        life = claims.exp - claims.iat
        if claims.exp - now.timestamp() > max(life * SWAPS_BELOW, SWAPS_BELOW_S):
            return None
        fence = {} if claims.fence is None else {"fence": claims.fence}
        return self.mint(Scope.EXECUTION, claims.sub, now, life=life, **fence)


def secret_in(folder: Path) -> bytes:
    """Read the secret, or make one for this and every later start. Two servers that start at once agree on one."""
    file = folder / "secret"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = folder / f".secret-{uuid4().hex}"
    if not file.exists():
        write_private(draft, secrets.token_hex(SECRET_BYTES).encode())
        try:
            file.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return file.read_bytes().strip()


def write_private(file: Path, content: bytes) -> None:
    """Write a file that nobody else may read, not even for a moment."""
    file.unlink(missing_ok=True)
    file.touch(mode=0o600, exist_ok=False)
    file.write_bytes(content)
