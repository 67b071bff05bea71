"""Tokens: made, shown once, found again by their digest, revoked."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from heimdall.domain.access import Role, Token
from heimdall.domain.errors import InvalidInputError
from heimdall.domain.ports import TokenStore

PREFIX = "hmd_"  # lets people and secret scanners see what it is
NUM_SECRET_BYTES = 32
BOOTSTRAP = "bootstrap"  # the name of the token from the settings
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class KnownTokens:
    """What was valid at one moment. `is_on`: there is or was a token, so nobody comes in without one."""

    is_on: bool
    by_sha256: Mapping[str, Token]

    def find(self, secret: str) -> Token | None:
        """Looking a digest up tells a caller who measures time nothing about a secret it does not have."""
        return self.by_sha256.get(digest(secret))


class TokenService:
    """`admin_secret` is the token of the settings: valid without a row, and named `bootstrap`."""

    def __init__(self, store: TokenStore, *, admin_secret: str | None = None) -> None:
        self._store = store
        self._bootstrap = _bootstrap_token(admin_secret) if admin_secret else None

    def create(self, role: Role, name: str | None = None) -> tuple[Token, str]:
        """The new token and its secret, which cannot be had again.

        Raises: InvalidInputError, ConflictError (a valid token has that name).
        """
        token_id = str(uuid4())
        name = f"{role.value}-{token_id[:8]}" if name is None else name
        if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
            raise InvalidInputError(f"A token's name has 1 to {LONGEST_NAME} printable characters.")
        if name == BOOTSTRAP:
            raise InvalidInputError(f"{BOOTSTRAP!r} is the name of HEIMDALL_ADMIN_TOKEN; choose another one.")
        secret = PREFIX + secrets.token_urlsafe(NUM_SECRET_BYTES)
        token = Token(id=token_id, name=name, role=role, sha256=digest(secret), created_at=datetime.now(UTC))
        self._store.add(token)
        return token, secret

    def list(self) -> list[Token]:
        """All, oldest first, revoked ones included."""
        return self._store.all()

    def revoke(self, name: str) -> Token:
        """Raises: NotFoundError."""
        return self._store.revoke(name)

    def forget_all(self) -> int:
        """Delete every token, so that loopback is served without one again; how many there were."""
        return self._store.delete_all()

    def known(self) -> KnownTokens:
        stored = self._store.all()
        own = [self._bootstrap] if self._bootstrap else []
        valid = [token for token in stored if token.revoked_at is None] + own
        return KnownTokens(is_on=bool(stored or own), by_sha256={token.sha256: token for token in valid})


def digest(secret: str) -> str:
    """A secret of 256 random bits cannot be guessed from its digest, however fast the hash is: the slow, salted
    hashes of passwords would only make each request slow."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _bootstrap_token(secret: str) -> Token:
    return Token(
        id=BOOTSTRAP, name=BOOTSTRAP, role=Role.ADMIN, sha256=digest(secret), created_at=datetime.fromtimestamp(0, UTC)
    )
