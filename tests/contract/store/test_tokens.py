"""Tokens: only their digest is kept, a revoked one is never found again."""

import hashlib

import pytest
from sqlalchemy import select

from heimdall.domain.access import Role
from heimdall.domain.errors import ConflictError, InvalidInputError, NotFoundError
from heimdall.domain.ports import Stores
from heimdall.jobs.tokens import TokenService
from heimdall.store import Database
from heimdall.store.tables import tokens


def test_the_secret_is_not_in_the_database(stores: Stores, database: Database) -> None:
    token, secret = TokenService(stores.tokens).create(Role.VIEWER, "Ada")
    row = database.read(lambda connection: connection.execute(select(tokens)).mappings().one())
    assert not any(secret in str(value) or secret[4:] in str(value) for value in row.values())
    assert row["sha256"] == hashlib.sha256(secret.encode()).hexdigest()
    assert stores.tokens.all() == [token]


def test_a_valid_secret_is_found_and_a_revoked_one_is_not(stores: Stores) -> None:
    service = TokenService(stores.tokens)
    assert not service.known().is_on
    token, secret = service.create(Role.OPERATOR)
    assert token.name.startswith("operator-")
    assert service.known().find(secret) == token
    assert service.known().find(f"{secret}x") is None
    assert service.known().find(token.sha256) is None
    revoked = service.revoke(token.name)
    assert revoked.revoked_at is not None
    assert service.known().find(secret) is None
    assert service.known().is_on  # nobody comes in without a token because the last one was revoked
    with pytest.raises(NotFoundError, match="tokens ls"):
        service.revoke(token.name)
    assert service.forget_all() == 1
    assert not service.known().is_on


def test_a_name_is_free_again_after_it_was_revoked(stores: Stores) -> None:
    service = TokenService(stores.tokens)
    _, first = service.create(Role.VIEWER, "ci")
    with pytest.raises(ConflictError, match="ci"):
        service.create(Role.ADMIN, "ci")
    service.revoke("ci")
    renewed, second = service.create(Role.ADMIN, "ci")
    assert service.known().find(second) == renewed
    assert service.known().find(first) is None
    assert [token.role for token in service.list()] == [Role.VIEWER, Role.ADMIN]


def test_the_token_of_the_settings_needs_no_row(stores: Stores) -> None:
    service = TokenService(stores.tokens, admin_secret="a-secret-of-the-settings")
    token = service.known().find("a-secret-of-the-settings")
    assert token is not None
    assert (token.name, token.role) == ("bootstrap", Role.ADMIN)
    assert service.known().is_on
    assert service.list() == []


@pytest.mark.parametrize("name", ["", "x" * 101, "two\nlines", "bootstrap"])
def test_names_that_would_mislead_are_refused(stores: Stores, name: str) -> None:
    with pytest.raises(InvalidInputError):
        TokenService(stores.tokens).create(Role.VIEWER, name)


def test_roles_are_ordered() -> None:
    assert [[role.covers(needed) for needed in Role] for role in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
