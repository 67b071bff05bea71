"""What a process refuses before it touches anything."""

import logging
import warnings
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import URL, make_url

from heimdall.bootstrap.configuration import load, warn_of_strange_variables
from heimdall.domain.errors import InvalidInputError
from heimdall.settings import ClientSettings, JobSettings, Settings, masked_url
from heimdall.store import prepare

WORD = "hunter2"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("url", ["redis://someone:secret@localhost/", "localhost:5672", "amqp://"])
def test_a_broker_that_is_no_rabbitmq_is_refused_without_telling_its_password(url: str) -> None:
    with pytest.raises(InvalidInputError, match=r"HEIMDALL_BROKER_URL.*amqp://") as refused:
        load({"broker_url": url})
    assert "secret" not in str(refused.value)


def test_an_empty_broker_is_none_and_a_password_is_masked() -> None:
    assert load({"broker_url": ""}).broker_url is None
    assert load({"broker_url": "amqp://guest:secret@host/"}).masked()["broker_url"] == "amqp://guest:***@host/"


@pytest.mark.parametrize("text", ["10.0.0.0/8, ::1", "10.1.2.3/8", "*", "127.0.0.1,*"])
def test_peers_are_addresses_networks_or_everyone(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEIMDALL_FORWARDED_ALLOW_IPS", text)
    assert load({}).forwarded_allow_ips == text


@pytest.mark.parametrize("text", ["nginx", "10.0.0.0/8,nginx", "10.0.0.0/40"])
def test_a_peer_that_is_a_name_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEIMDALL_FORWARDED_ALLOW_IPS", text)
    with pytest.raises(InvalidInputError, match=r"^HEIMDALL_FORWARDED_ALLOW_IPS cannot be used: .*give addresses"):
        load({})


@pytest.mark.parametrize("name", ["allowed_hosts", "allowed_origins", "gpus"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", ["a"]), ("a, b,", ["a", "b"]), ('["a", "b"]', ["a", "b"]), (' ["a,b"]', ["a,b"]), ("[]", [])],
)
def test_a_list_is_json_or_words_with_commas(
    name: str, text: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"HEIMDALL_{name.upper()}", text)
    assert getattr(load({}), name) == expected


def test_an_empty_list_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GPUS", "ALLOWED_HOSTS"):
        monkeypatch.setenv(f"HEIMDALL_{name}", "")
    assert load({}).gpus is None
    assert load({}).allowed_hosts == []


@pytest.mark.parametrize("name", Settings.model_fields)
def test_an_empty_variable_is_none(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `${PORT:-}` in a Compose file leaves it: the default counts, or the file when it says something."""
    default = load({})
    monkeypatch.setenv(f"HEIMDALL_{name.upper()}", "")
    assert load({}) == default
    (folder / "heimdall.toml").write_text("port = 9000\nslots = 3\n")
    assert (load({}).port, load({}).slots) == (9000, 3)
    (folder / "heimdall.toml").write_text("port = 'x'")
    with pytest.raises(InvalidInputError, match=r"^port in heimdall\.toml cannot be used"):
        load({})


@pytest.mark.parametrize("kind", [Settings, ClientSettings, JobSettings])
def test_reading_the_settings_warns_of_nothing(kind: type[Settings], folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it would stand in every job's log
        load({}, kind)


def test_the_link_to_a_kubernetes_service_is_no_port(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEIMDALL_PORT", "tcp://10.43.0.7:8001")
    assert load({}).port == 8001
    (folder / "heimdall.toml").write_text("port = 9000")
    assert load({}).port == 9000
    monkeypatch.setenv("HEIMDALL_PORT", "9001x")
    with pytest.raises(InvalidInputError, match="HEIMDALL_PORT cannot be used"):
        load({})


@pytest.mark.parametrize("name", ["runs?a", "runs%41", "a b", "#1", "ü@x:y", "a%", "?", "runs?mode=memory", "%2e%2e"])
def test_the_database_lies_in_the_data_folder_whatever_its_name(folder: Path, name: str) -> None:
    url = load({"data_dir": folder / name}).resolved_database_url
    (folder / name).mkdir()
    prepare(url, mode="upgrade")
    assert (folder / name / "heimdall.db").stat().st_size > 0
    assert [path.name for path in folder.iterdir()] == [name]
    assert make_url(url) == URL.create("sqlite", database=str(folder / name / "heimdall.db"))


def test_a_file_may_begin_with_a_byte_order_mark(folder: Path) -> None:
    (folder / "heimdall.toml").write_bytes(b"\xef\xbb\xbfport = 9000\n")
    assert load({}).port == 9000


@pytest.mark.parametrize("text", ["[a]", '["a"', "[1, 2]", '[["a"]]'])
def test_what_begins_as_json_and_is_no_list_of_words_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEIMDALL_ALLOWED_HOSTS", text)
    with pytest.raises(InvalidInputError, match=r"^HEIMDALL_ALLOWED_HOSTS cannot be used: "):
        load({})


def test_lists_of_the_file(folder: Path) -> None:
    (folder / "heimdall.toml").write_text('allowed_hosts = ["a"]\ngpus = "0,1"\n')
    assert (load({}).allowed_hosts, load({}).gpus) == (["a"], ["0", "1"])


@pytest.mark.parametrize("content", [b"port = 1\nslots 3\n", b"# \xff\n"])
def test_a_file_that_cannot_be_read_is_named(folder: Path, content: bytes) -> None:
    (folder / "heimdall.toml").write_bytes(content)
    place = "line 2" if b"slots" in content else "position 2"
    with pytest.raises(InvalidInputError, match=rf"^{folder}/heimdall\.toml cannot be read: .*{place}"):
        load({})


def test_a_value_is_named_as_where_it_comes_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "heimdall.toml").write_text('port = "x"')
    with pytest.raises(InvalidInputError, match=r"^port in heimdall\.toml cannot be used: "):
        load({})
    monkeypatch.setenv("heimdall_port", "y")
    with pytest.raises(InvalidInputError, match=r"^HEIMDALL_PORT cannot be used: "):
        load({})
    with pytest.raises(InvalidInputError, match=r"^--port \(HEIMDALL_PORT\) cannot be used: "):
        load({"port": 99_999})


@pytest.mark.parametrize(("name", "meant"), [("prot", "; perhaps port is meant"), ("colour", "")])
def test_a_line_of_the_file_that_sets_nothing_is_refused(folder: Path, name: str, meant: str) -> None:
    (folder / "heimdall.toml").write_text(f"{name} = 1")
    with pytest.raises(InvalidInputError, match=rf"^{name} in heimdall\.toml is not a setting{meant}\.$"):
        load({})


def test_a_misspelt_variable_is_told_of(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("ALLOWED_HOST", "PORT", "TEST_REQUIRE", "API_PORT", "API_SERVICE_HOST", "API_PORT_8001_TCP_ADDR"):
        monkeypatch.setenv(f"HEIMDALL_{name}", "1")
    with caplog.at_level(logging.WARNING):
        warn_of_strange_variables()
    assert caplog.messages == [
        "HEIMDALL_ALLOWED_HOST is not a setting and has no effect; perhaps HEIMDALL_ALLOWED_HOSTS is meant."
    ]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"amqp://a:{WORD}@h/", "amqp://a:***@h/"),
        (f"amqp://a:p@{WORD}@h:5672/v", "amqp://a:***@h:5672/v"),
        (f"postgresql://a@b:{WORD}@h/db", "postgresql://a@b:***@h/db"),
        (f"postgresql://a:p/{WORD}@h/db", "postgresql://a:***@h/db"),
        (f"postgresql://a:p?{WORD}@h/db", "postgresql://a:***@h/db"),
        (f"redis://:{WORD}@h/", "redis://:***@h/"),
        (f"postgresql://u@h/db?password={WORD}", "postgresql://u@h/db?password=***"),
        (f"postgresql://u@h/db?a=b&sslpassword={WORD}&c=d", "postgresql://u@h/db?a=b&sslpassword=***&c=d"),
        (f"postgresql://u@h/db?PASS%57ORD={WORD}", "postgresql://u@h/db?PASS%57ORD=***"),
        (f"s3://key:{WORD}@bucket/x?secret_access_key={WORD}", "s3://key:***@bucket/x?secret_access_key=***"),
        ("postgresql://u@h:5432/db?sslmode=require", "postgresql://u@h:5432/db?sslmode=require"),
        ("sqlite:////data/a:b@c.db", "sqlite:////data/a:b@c.db"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert masked_url(url) == shown


@given(st.text(alphabet=st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20))
@example("@?")
@example("/?@#")
def test_no_password_shows_whatever_it_holds(rest: str) -> None:
    assert WORD not in masked_url(f"postgresql://user:{WORD}{rest}@host/name")
    assert WORD not in masked_url(f"postgresql://user:{rest}{WORD}@host/name")


def test_every_address_is_masked() -> None:
    shown = load(
        {
            "database_url": f"postgresql://u@h/db?password={WORD}",
            "artifacts_url": f"s3://key:{WORD}@bucket/x",
            "url": f"https://a:{WORD}@h",
        }
    ).masked()
    assert WORD not in str(shown)
    assert shown["artifacts_url"] == "s3://key:***@bucket/x"
