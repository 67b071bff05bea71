"""What a process refuses before it touches anything."""

import pytest

from heimdall.bootstrap.configuration import load
from heimdall.domain.errors import InvalidInputError


@pytest.mark.parametrize("url", ["redis://someone:secret@localhost/", "localhost:5672", "amqp://"])
def test_a_broker_that_is_no_rabbitmq_is_refused_without_telling_its_password(url: str) -> None:
    with pytest.raises(InvalidInputError, match=r"HEIMDALL_BROKER_URL.*amqp://") as refused:
        load({"broker_url": url})
    assert "secret" not in str(refused.value)


def test_an_empty_broker_is_none_and_a_password_is_masked() -> None:
    assert load({"broker_url": ""}).broker_url is None
    assert load({"broker_url": "amqp://guest:secret@host/"}).masked()["broker_url"] == "amqp://guest:***@host/"
