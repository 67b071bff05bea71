"""TokenStore: the digests of tokens."""

from dataclasses import asdict

from sqlalchemy import Connection, delete, select, update

from heimdall.domain.access import Token
from heimdall.domain.errors import ConflictError, NotFoundError
from heimdall.store.engine import Database, reads, writes
from heimdall.store.files import insert_if_new
from heimdall.store.tables import tokens


class SqlTokenStore:
    def __init__(self, database: Database) -> None:
        self.database = database

    @writes
    def add(self, connection: Connection, token: Token) -> None:
        if not insert_if_new(connection, tokens, asdict(token)):
            raise ConflictError(f"There is a valid token named {token.name!r}; revoke it or choose another name.")

    @reads
    def all(self, connection: Connection) -> list[Token]:
        rows = connection.execute(select(tokens).order_by(tokens.c.created_at, tokens.c.id)).mappings()
        return [Token(**row) for row in rows]

    @writes
    def revoke(self, connection: Connection, name: str) -> Token:
        valid = (tokens.c.name == name, tokens.c.revoked_at.is_(None))
        statement = update(tokens).where(*valid).values(revoked_at=self.database.now()).returning(tokens)
        row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise NotFoundError(f"There is no valid token named {name!r}; `heimdall tokens ls` shows them.")
        return Token(**row)

    @writes
    def delete_all(self, connection: Connection) -> int:
        return connection.execute(delete(tokens)).rowcount
