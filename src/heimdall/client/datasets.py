"""Routes of synthetic datasets."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from heimdall.client.shapes import DatasetInfo, DatasetPage, DatasetStarted, SamplePage
from heimdall.client.transport import Transport
from heimdall.domain.errors import InvalidInputError

ROOT = "/api/v1/training/synthetic"


class DatasetRoutes:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def generate(self, *, name: str, num_samples: int, fields: Mapping[str, Any] | None = None) -> DatasetStarted:
        """Start a job that makes a dataset; `fields` are the other parameters of the generator.

        Raises: ConflictError when the name is taken, InvalidInputError.
        """
        body: dict[str, Any] = {"name": name, "num_samples": num_samples}
        for field, value in (fields or {}).items():
            if field in body:
                raise InvalidInputError(f"{field} is given twice, as {body[field]!r} and as {value!r}; give it once.")
            body[field] = value
        return self._transport.post(f"{ROOT}/generate", json=body)

    def page(self, *, limit: int | None = None, offset: int | None = None) -> DatasetPage:
        return self._transport.get(f"{ROOT}/datasets", limit=limit, offset=offset)

    def get(self, dataset_id: str) -> DatasetInfo:
        return self._transport.get(f"{ROOT}/datasets/{dataset_id}")

    def find(self, name: str) -> DatasetInfo | None:
        """The dataset of that name. Names are unique."""
        return next((dataset for dataset in self.all() if dataset["name"] == name), None)

    def all(self) -> Iterator[DatasetInfo]:
        offset = 0
        while True:
            page = self.page(limit=100, offset=offset)
            yield from page["datasets"]
            offset += len(page["datasets"])
            if not page["datasets"] or offset >= page["total"]:
                return

    def samples(self, dataset_id: str, *, limit: int | None = None, offset: int | None = None) -> SamplePage:
        return self._transport.get(f"{ROOT}/datasets/{dataset_id}/samples", limit=limit, offset=offset)

    def set_approved(self, dataset_id: str, indexes: Sequence[int], *, approved: bool) -> None:
        body = {"indexes": list(indexes), "approved": approved}
        self._transport.send("PATCH", f"{ROOT}/datasets/{dataset_id}/samples", json=body)

    def delete(self, dataset_id: str) -> None:
        """Raises: ConflictError while a job that has not ended uses it."""
        self._transport.send("DELETE", f"{ROOT}/datasets/{dataset_id}")
