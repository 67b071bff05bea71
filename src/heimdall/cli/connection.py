"""Finds the server a command talks to, and the job a word names."""

import re
from typing import TYPE_CHECKING

from heimdall.domain.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from heimdall.client import HeimdallClient

FULL_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where a server listens → where it can be called


def connect(url: str | None) -> "HeimdallClient":
    from heimdall import bootstrap
    from heimdall.client import HeimdallClient

    settings = bootstrap.load_settings(url=url)
    token = settings.token or settings.admin_token
    address = settings.url or local_url(settings.host, settings.port)
    return HeimdallClient(address, token=token.get_secret_value() if token else None)


def local_url(host: str, port: int) -> str:
    host = EVERY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def find_job(client: "HeimdallClient", word: str) -> str:
    """The id of the job that `word` names: a full id, the first characters of one, or a job's name.

    Raises:
        NotFoundError: no such job.
        InvalidInputError: more than one, or a word that can name none.
    """
    check_word(word, "job")
    if FULL_ID.fullmatch(word):
        return word.lower()
    named: list[str] = []
    cursor: str | None = None
    while True:
        page = client.jobs.page(q=word, limit=500, cursor=cursor)
        named += [job["id"] for job in page["jobs"] if job["id"].startswith(word.lower()) or job["job_name"] == word]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    if not named:
        raise NotFoundError(f"No job has the id or name {word!r}; `heimdall ls` shows them.")
    if len(named) > 1:
        raise InvalidInputError(f"{word!r} names {len(named)} jobs: {', '.join(named[:5])}; use the whole id.")
    return named[0]


def check_word(word: str, what: str) -> None:
    """Raises: InvalidInputError when it can name nothing."""
    if not word.strip():  # every id begins with it, so that `rm "$JOB"` could delete a job that nobody named
        raise InvalidInputError(f"An empty word names no {what}; was a shell variable empty?")
    try:
        word.encode()
    except UnicodeEncodeError:  # bytes of the terminal that are no UTF-8
        raise InvalidInputError(f"{word!r} names no {what}: it is no text in UTF-8.") from None
