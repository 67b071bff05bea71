"""Who may do what: tokens and the roles they carry."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """From least to most: each may do what those before it may."""

    VIEWER = "viewer"  # reads
    OPERATOR = "operator"  # changes jobs and datasets
    ADMIN = "admin"  # everything

    def covers(self, needed: "Role") -> bool:
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A right to call the service. The secret itself is kept nowhere: `sha256` is its digest as hex."""

    id: str
    name: str
    role: Role
    sha256: str
    created_at: datetime
    revoked_at: datetime | None = None
