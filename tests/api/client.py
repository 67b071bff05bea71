"""How tests speak to the surface."""

from typing import Any

from starlette.testclient import TestClient

ROOT = "/api/v1/training"


class Api:
    """A client that speaks of paths below the surface's root."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, path: str, **options: Any) -> Any:
        return self.client.get(ROOT + path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return self.client.post(ROOT + path, json=body, **options)

    def patch(self, path: str, body: Any) -> Any:
        return self.client.patch(ROOT + path, json=body)

    def delete(self, path: str) -> Any:
        return self.client.delete(ROOT + path)

    def submit(self, **fields: Any) -> str:
        """The id of a new job of three epochs."""
        answer = self.post("/jobs", {"config": {"epochs": 3}, **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]


def problem_of(answer: Any, status: int) -> dict[str, Any]:
    """The problem an answer holds, checked for its form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert set(body) - {"errors"} == {"type", "title", "status", "detail", "instance", "code"}
    assert ("errors" in body) == (status == 422)
    assert "Traceback" not in answer.text
    return body
