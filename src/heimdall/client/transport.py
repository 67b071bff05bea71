"""One HTTP connection to one server: sends, and turns what is no success into an exception."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2

from heimdall.client.errors import RefusedError, ServerUnreachableError, error_of

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SILENCE_SECONDS = 45.0  # a stream says something every 15 s; after three silent times it is dead


class Transport:
    def __init__(self, base_url: str, *, token: str | None, timeout_seconds: float) -> None:
        address = httpx2.URL(base_url)
        self.base_url = str(address).rstrip("/")
        self._client = httpx2.Client(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx2.Timeout(timeout_seconds, connect=5.0),
            verify=address.scheme == "https",  # loading certificates takes 0.1 s
            trust_env=address.host not in LOOPBACK,  # a proxy must not stand before this very machine
        )

    def close(self) -> None:
        self._client.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """Raises: ServerUnreachableError, or what `error_of` makes of the answer."""
        with self._reaching():
            response = self._client.request(method, path, params=given(params), json=json, headers=headers)
        return self._checked(response)

    def get(self, path: str, **params: Any) -> Any:
        return self._json_of(self.send("GET", path, params=params))

    def post(self, path: str, json: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        return self._json_of(self.send("POST", path, json=json, headers=headers))

    def patch(self, path: str, json: Any) -> Any:
        return self._json_of(self.send("PATCH", path, json=json))

    @contextmanager
    def reading(self, path: str, *, can_be_page: bool = False, **params: Any) -> Generator[httpx2.Response]:
        """The answer of a GET, its body not read yet. `can_be_page`: HTML is welcome, as a job's file may be some."""
        with self._reaching(), self._client.stream("GET", path, params=given(params)) as response:
            if not response.is_success:
                response.read()
            yield self._checked(response, can_be_page=can_be_page)

    @contextmanager
    def listening(self, path: str, **params: Any) -> Generator[Iterator[httpx2.ServerSentEvent] | None]:
        """The messages of an event stream; None when the server says that none will follow (204)."""
        timeout = httpx2.Timeout(SILENCE_SECONDS, connect=5.0)
        with self._reaching(), self._client.sse(path, params=given(params), timeout=timeout) as source:
            if not source.response.is_success:
                source.response.read()
            is_over = self._checked(source.response).status_code == 204
            if not is_over and _content_type(source.response) != "text/event-stream":
                raise self._foreign(_content_type(source.response))
            yield None if is_over else iter(source)

    @contextmanager
    def _reaching(self) -> Generator[None]:
        try:
            yield
        except httpx2.TransportError as error:
            raise ServerUnreachableError(
                f"No answer from {self.base_url} ({_cause(error)}). Start the service with `heimdall up`, "
                "or name its address with --url or HEIMDALL_URL."
            ) from error

    def _checked(self, response: httpx2.Response, *, can_be_page: bool = False) -> httpx2.Response:
        if response.next_request is not None:  # its query may hold secrets: the host alone is told
            target = response.next_request.url
            raise self._foreign(f"a redirect to {target.scheme}://{target.host}")
        if not response.is_success:
            raise error_of(response.status_code, _problem_of(response))
        if _content_type(response) == "text/html" and not can_be_page:
            raise self._foreign("text/html")
        return response

    def _json_of(self, response: httpx2.Response) -> Any:
        try:
            return response.json()
        except ValueError:
            raise self._foreign(_content_type(response)) from None

    def _foreign(self, answered: str) -> RefusedError:
        return RefusedError(
            f"{self.base_url} is no Heimdall service: it answers with {answered or 'something else'}, as a login page "
            "before the service may do; check the address given with --url or HEIMDALL_URL.",
            502,
            "not_heimdall",
        )


def given(params: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parameters that are set: None means left out."""
    return {name: value for name, value in (params or {}).items() if value is not None}


def _content_type(response: httpx2.Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def _problem_of(response: httpx2.Response) -> dict[str, Any]:
    if _content_type(response) != "application/problem+json":
        return {}
    try:
        return dict(response.json())
    except (TypeError, ValueError):  # of this type, and yet not a problem
        return {}


def _cause(error: httpx2.TransportError) -> str:
    return str(error) or type(error).__name__
