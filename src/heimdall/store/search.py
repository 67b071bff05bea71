"""Searching jobs by a part of their name, notes or id, whatever the case and the script.

Both databases compare what Python has folded: SQLite itself folds ASCII only, PostgreSQL as its locale says.
"""

import unicodedata

from sqlalchemy import Connection, Select, select

from heimdall.store.columns import plain
from heimdall.store.files import upsert
from heimdall.store.tables import job_texts


def folded(text: str) -> str:
    """Without upper case, and with letters and their accents joined as far as they can be."""
    return unicodedata.normalize("NFC", plain(text).casefold())


def put_text(connection: Connection, job_id: str, job_name: str, notes: str | None) -> None:
    text = "\n".join(folded(part) for part in (job_name, notes or "", job_id))
    upsert(connection, job_texts, {"job_id": job_id, "folded": text}, keys=["job_id"])


def holding(text: str) -> Select[str]:
    """The ids of jobs of whose name, notes or id `text` is a part."""
    return select(job_texts.c.job_id).where(job_texts.c.folded.contains(folded(text), autoescape=True))
