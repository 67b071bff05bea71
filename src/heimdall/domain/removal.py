"""What was removed because nothing needs it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Of one kind of thing; with a dry run what would be removed."""

    what: str
    number: int
    size_bytes: int

    @classmethod
    def of(cls, what: str, sizes: dict[str, int]) -> "Removal":
        return cls(what=what, number=len(sizes), size_bytes=sum(sizes.values()))
