"""Every variable: its default, what it takes, and one line about what it does not."""

import logging
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from pipelines.clock import today
from pipelines.errors import LivehouseError, SettingsError
from pipelines.settings.settings import Settings, load_settings
from pipelines.storage.file_warehouse import FileWarehouse

TOKEN = "s3cret-token-0123456789abcdefghij"
ACCOUNT = {"CLOUDFLARE_API_TOKEN": TOKEN, "CLOUDFLARE_ACCOUNT_ID": "account", "REALTIMEKIT_APP_ID": "app"}
VARIABLES = [str(field.validation_alias) for field in Settings.model_fields.values()]


@pytest.fixture(autouse=True)
def no_variables(own_settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def loaded(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def test_the_defaults_of_the_contract() -> None:
    settings = load_settings()
    assert (
        settings.model_dump(exclude={"retry_pause_seconds", "lock_wait_seconds"}).items()
        >= {
            "api_token": None,
            "account_id": None,
            "app_ids": (),
            "base_url": "https://api.cloudflare.com/client/v4",
            "home": Path("data"),
            "warehouse_path": None,
            "start_date": date(2025, 1, 1),
            "lookback_days": 3,
            "retention_days": 180,
            "requests_per_second": 4.0,
            "concurrency": 8,
        }.items()
    )
    assert settings.warehouse == Path("data/warehouse.duckdb")
    assert settings.dagster_home == Path("data/dagster").resolve()


GOOD: list[tuple[str, str, str, Any]] = [
    ("CLOUDFLARE_ACCOUNT_ID", " abc ", "account_id", "abc"),
    ("REALTIMEKIT_APP_ID", "one", "app_ids", ("one",)),
    ("REALTIMEKIT_APP_ID", " one, two ,,one,three", "app_ids", ("one", "two", "three")),
    ("REALTIMEKIT_APP_ID", "..,ü", "app_ids", ("..", "ü")),
    ("REALTIMEKIT_APP_ID", " , ", "app_ids", ()),
    ("CLOUDFLARE_BASE_URL", "https://proxy.example:8443/cf/", "base_url", "https://proxy.example:8443/cf"),
    ("CLOUDFLARE_BASE_URL", " https://x.example ", "base_url", "https://x.example"),
    ("CLOUDFLARE_BASE_URL", "http://127.0.0.1:9000/client/v4", "base_url", "http://127.0.0.1:9000/client/v4"),
    ("CLOUDFLARE_BASE_URL", "http://localhost:9000", "base_url", "http://localhost:9000"),
    ("CLOUDFLARE_BASE_URL", "http://[::1]:9000", "base_url", "http://[::1]:9000"),
    ("LIVEHOUSE_HOME", "/srv/livehouse", "home", Path("/srv/livehouse")),
    ("LIVEHOUSE_WAREHOUSE", "/srv/w.duckdb", "warehouse", Path("/srv/w.duckdb")),
    ("LIVEHOUSE_HOME", "/srv", "warehouse", Path("/srv/warehouse.duckdb")),
    ("LIVEHOUSE_WAREHOUSE", "ducklake:postgres:dbname=x", "lakehouse", SecretStr("dbname=x")),
    ("LIVEHOUSE_WAREHOUSE", "ducklake:postgres:dbname=x", "warehouse_path", None),
    ("LIVEHOUSE_WAREHOUSE", "/srv/w.duckdb", "lakehouse", None),
    ("LIVEHOUSE_DATA_PATH", "s3://bucket/prefix", "data_path", "s3://bucket/prefix"),
    ("LIVEHOUSE_START_DATE", "2024-02-29", "start_date", date(2024, 2, 29)),
    ("LIVEHOUSE_START_DATE", "2015-01-01", "start_date", date(2015, 1, 1)),
    ("LIVEHOUSE_LOOKBACK_DAYS", "1", "lookback_days", 1),
    ("LIVEHOUSE_LOOKBACK_DAYS", "366", "lookback_days", 366),
    ("LIVEHOUSE_RETENTION_DAYS", "30", "retention_days", 30),
    ("LIVEHOUSE_REQUESTS_PER_SECOND", "0", "requests_per_second", 0.0),
    ("LIVEHOUSE_REQUESTS_PER_SECOND", "11.6", "requests_per_second", 11.6),
    ("LIVEHOUSE_CONCURRENCY", "64", "concurrency", 64),
    ("LIVEHOUSE_RETRY_PAUSE_SECONDS", "0.001", "retry_pause_seconds", 0.001),
    ("LIVEHOUSE_LOCK_WAIT_SECONDS", "0", "lock_wait_seconds", 0.0),
    ("LIVEHOUSE_AUDIO_EXPORT_RATE", "0.004", "audio_export_rate", 0.004),
    ("LIVEHOUSE_AUDIO_APPS", " one, two,one", "audio_apps", ("one", "two")),
    ("LIVEHOUSE_ALLOWANCES", "terms/allowances.toml", "allowances_path", Path("terms/allowances.toml")),
    ("LIVEHOUSE_CUSTOMERS", "/srv/customers.csv", "customers_path", Path("/srv/customers.csv")),
    ("LIVEHOUSE_ALERT_FORMAT", "json", "alert_format", "json"),
    ("LIVEHOUSE_ALERT_SECRET", f" {'x' * 16}\n", "alert_secret", SecretStr("x" * 16)),
    ("LIVEHOUSE_ALERTS", "alerts.toml", "alert_rules", Path("alerts.toml")),
    ("LIVEHOUSE_DIGEST", "webhook", "digest", "webhook"),
    ("LIVEHOUSE_REPORT_URL", " http://intranet:8080/r.html#app=a ", "report_url", "http://intranet:8080/r.html#app=a"),
]


@pytest.mark.parametrize(("variable", "text", "field", "value"), GOOD)
def test_what_is_taken(variable: str, text: str, field: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert getattr(loaded(monkeypatch, **{variable: text}), field) == value


ADDRESSES = [
    "postgresql://user:badvalue@db.example/livehouse",
    " postgres://user:badvalue@db.example/livehouse",
    "PostgreSQL://user:badvalue@db.example",
    "postgres:badvalue",
    "host=db.example password=badvalue",
    "user='a' password='badvalue'",
    "connect_timeout=3 host=db.example password=badvalue",
    "application_name=x sslpassword=badvalue",
    "md:badvalue",
    "MD:badvalue?motherduck_token=badvalue",
    "./md:badvalue",  # pathlib drops the `./`
    "motherduck:badvalue",
    ":memory:",
    ":memory:badvalue",
    "sqlite:badvalue.db",
    "sqlite:///badvalue",
    "mysql://user:badvalue@h/d",
    "duckdb:badvalue.duckdb",
    "file:badvalue",
    "file:///badvalue",
    "s3://badvalue/w.duckdb",
    "s3:badvalue",
    "gs://badvalue",
    "r2://badvalue",
    "azure://badvalue",
    "hf://badvalue",
    "http://badvalue.example/w.duckdb",
    "https://user:badvalue@x.example/w.duckdb",
    "ducklake:",
    "ducklake:badvalue",
    "ducklake:sqlite:badvalue",
    "ducklake:mysql:badvalue",
    "ducklake:duckdb:badvalue",
    "Ducklake:postgres:password=badvalue",
    "ducklake :postgres:password=badvalue",
    "DUCKLAKE:POSTGRES:password=badvalue",
    "quack:badvalue",
    "user:badvalue@db.example",
    "C:\\badvalue",
]
"""Text that looks like an address, and not like the path of a DuckDB file."""
BAD: list[tuple[str, str]] = [
    ("CLOUDFLARE_API_TOKEN", f"{TOKEN}\nX-Injected: 1"),
    ("CLOUDFLARE_API_TOKEN", f"Bearer {TOKEN}"),
    ("CLOUDFLARE_API_TOKEN", f"{TOKEN}ü"),
    ("CLOUDFLARE_API_TOKEN", f"{TOKEN}\x7f"),
    ("LIVEHOUSE_WAREHOUSE", "ducklake:sqlite:badvalue"),
    ("LIVEHOUSE_WAREHOUSE", "ducklake:badvalue.ducklake"),
    ("LIVEHOUSE_WAREHOUSE", "ducklake:postgres: "),  # taken for a file by one half, for a lakehouse by the other
    *[
        (variable, address)
        for variable in ("LIVEHOUSE_WAREHOUSE", "LIVEHOUSE_HOME", "LIVEHOUSE_DATA_PATH")
        for address in ADDRESSES
        if not (variable == "LIVEHOUSE_DATA_PATH" and address.startswith("s3://b"))
    ],
    *[
        (variable, path)
        for variable in ("LIVEHOUSE_WAREHOUSE", "LIVEHOUSE_HOME", "LIVEHOUSE_DATA_PATH")
        for path in (
            "  ",
            "badvalue?",
            "badvalue\n",
            "badvalue\x1b[2J",
            "badvalue" * 40,
            "badvalue/" * 500,
            "~nobodyofthisname/x",
        )
    ],
    ("LIVEHOUSE_DATA_PATH", "gs://badvalue"),
    ("LIVEHOUSE_DATA_PATH", "s3:///badvalue"),
    ("CLOUDFLARE_ACCOUNT_ID", "   "),
    ("CLOUDFLARE_ACCOUNT_ID", "badvalue\n7"),
    ("CLOUDFLARE_ACCOUNT_ID", "badvalue" * 50),
    ("REALTIMEKIT_APP_ID", "good,badvalue\x07"),
    ("REALTIMEKIT_APP_ID", "badvalue" * 50),
    ("CLOUDFLARE_BASE_URL", "http://badvalue.example"),
    ("CLOUDFLARE_BASE_URL", "http://10.0.0.1/badvalue"),
    ("CLOUDFLARE_BASE_URL", "http://localhost.badvalue.example"),
    ("CLOUDFLARE_BASE_URL", "http://127.0.0.1.badvalue.example"),
    ("CLOUDFLARE_BASE_URL", "http://localhost@badvalue.example"),
    ("CLOUDFLARE_BASE_URL", "http://0.0.0.0/badvalue"),
    ("CLOUDFLARE_BASE_URL", "ftp://badvalue.example"),
    ("CLOUDFLARE_BASE_URL", "file:///badvalue"),
    ("CLOUDFLARE_BASE_URL", "badvalue.example"),
    ("CLOUDFLARE_BASE_URL", "//badvalue.example"),
    ("CLOUDFLARE_BASE_URL", "https://"),
    ("CLOUDFLARE_BASE_URL", "https:///badvalue"),
    ("CLOUDFLARE_BASE_URL", "https://user:badvalue@x.example"),
    ("CLOUDFLARE_BASE_URL", "https://@badvalue.example"),
    ("CLOUDFLARE_BASE_URL", "https://x.example/?badvalue=1"),
    ("CLOUDFLARE_BASE_URL", "https://badvalue.example/?"),  # everything after it would be a query
    ("CLOUDFLARE_BASE_URL", "https://badvalue.example/#"),
    ("CLOUDFLARE_BASE_URL", "https://x.example:badvalue"),
    ("CLOUDFLARE_BASE_URL", "https://badvalue.example:99999"),
    ("CLOUDFLARE_BASE_URL", "https://[badvalue"),
    ("CLOUDFLARE_BASE_URL", "https://bad\tvalue.example"),  # urlsplit drops the tab, httpx refuses it
    ("CLOUDFLARE_BASE_URL", "https://bad\nvalue.example"),
    ("CLOUDFLARE_BASE_URL", "https://bad value.example"),
    ("CLOUDFLARE_BASE_URL", "https://badvalue.example\\@y.example"),
    ("CLOUDFLARE_BASE_URL", "https://bädvalue.example"),
    ("LIVEHOUSE_HOME", "~nobodyofthisname/badvalue"),
    ("LIVEHOUSE_START_DATE", "badvalue"),
    ("LIVEHOUSE_START_DATE", "2025-02-30"),
    ("LIVEHOUSE_START_DATE", "2014-12-31"),
    ("LIVEHOUSE_START_DATE", f"{today() + timedelta(days=1)}"),
    ("LIVEHOUSE_START_DATE", "01/02/2025"),
    *[
        (f"LIVEHOUSE_{name}", value)
        for name, values in {
            "LOOKBACK_DAYS": ["0", "-1", "367", "2.5", "badvalue", "1e1", "NaN", "0x10", "9" * 5000],
            "RETENTION_DAYS": ["0", "-1", "1.5", "badvalue", "9" * 30],
            "REQUESTS_PER_SECOND": ["-1", "nan", "inf", "badvalue", "4/s", "10001"],
            "CONCURRENCY": ["0", "65", "-3", "2.5", "badvalue"],
            "RETRY_PAUSE_SECONDS": ["0", "-1", "nan", "61", "badvalue"],
            "LOCK_WAIT_SECONDS": ["-1", "nan", "inf", "badvalue"],
            "EXPORT_RATE": ["-1", "badvalue", "inf"],
            "PARTICIPANT_RATE": ["-1", "badvalue", "nan"],
            "AUDIO_EXPORT_RATE": ["-1", "badvalue", "1001"],
            "AUDIO_PARTICIPANT_RATE": ["-1", "badvalue", "0,5"],
            "AUDIO_APPS": ["bad\tvalue"],
            "ALLOWANCES": ["https://badvalue.example/a.toml", "badvalue?"],
            "CUSTOMERS": ["s3://badvalue/customers.csv", "~nobodyofthisname/badvalue"],
            "ALERT_FORMAT": ["badvalue", "Slack"],
            "ALERT_SECRET": ["badvalue", "badvalue-with-ümlaut", "badvalue\nbadvalue-badvalue"],
            "ALERTS": ["https://badvalue.example/alerts.toml", "badvalue?"],
            "DIGEST": ["badvalue", "on"],
            "REPORT_URL": ["https://user:badvalue@x.example/r.html", "badvalue.example", "https://x.example/bad value"],
        }.items()
        for value in values
    ],
]


@pytest.mark.parametrize(("variable", "text"), BAD, ids=lambda text: repr(text)[:40])
def test_what_is_not_taken_is_one_line_without_the_value(
    variable: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError) as raised:
        loaded(monkeypatch, **{variable: text})
    message = str(raised.value)
    assert message.startswith(f"{variable} is malformed: it takes ")
    assert len(message) > len(f"{variable} is malformed: it takes ") + 5
    assert message.isprintable()
    assert "badvalue" not in message
    assert TOKEN not in message
    assert raised.value.__cause__ is None


ANY_TEXT = st.one_of(
    st.text(max_size=30),
    st.builds(
        "{}{}".format, st.sampled_from([*ADDRESSES, "./", "../", "~", "/dev/null/", "s3://b/"]), st.text(max_size=8)
    ),
    st.from_regex(r"[a-z0-9+.:/?%&=@ -]{1,20}", fullmatch=True),
    st.sampled_from(
        ["pipeline.duckdb", "core.v2", "main", "temp.db", "report.html", "x.duckdb.wal", "Marts", "pipeline.lock"]
    ),
).map(lambda text: text.replace("\0", "").encode("utf-8", "ignore").decode())
"""Any text that an environment variable can contain."""


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(VARIABLES), ANY_TEXT)
def test_any_text_is_accepted_or_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, text: str
) -> None:
    with monkeypatch.context() as patch:
        try:
            loaded(patch, **{variable: text})
        except SettingsError as refused:
            message = str(refused)
            assert message.startswith((f"{variable} is malformed: it takes ", f"{variable} is set without "))
            assert message.isprintable()
            assert "badvalue" not in message
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(["LIVEHOUSE_WAREHOUSE", "LIVEHOUSE_HOME"]), ANY_TEXT)
def test_a_path_that_is_accepted_can_be_published_and_read(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    with monkeypatch.context() as patch, TemporaryDirectory() as directory:
        patch.chdir(directory)
        patch.setenv("LIVEHOUSE_HOME", "home")
        try:
            warehouse = FileWarehouse(loaded(patch, **{variable: text}).warehouse)
            if warehouse.published.is_absolute() or ".." in warehouse.published.parts or loaded(patch).lakehouse:
                return
            warehouse.prepare()
        except LivehouseError:
            return  # in one line: malformed, or a directory such as "."
        with warehouse.open_working():
            pass
        warehouse.publish(print)
        with warehouse.open_published() as connection:
            assert connection.execute("SELECT count(*) FROM ops.loads").fetchall() == [(0,)]
        published = warehouse.published.resolve()
        assert published.is_relative_to(directory)
        assert published.is_file()


def test_an_accepted_address_can_be_parsed_by_httpx(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, text, field, value in GOOD:
        if variable == "CLOUDFLARE_BASE_URL":
            assert str(httpx.URL(f"{getattr(loaded(monkeypatch, **{variable: text}), field)}/x")) == f"{value}/x"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12))
@example("[::1]")
def test_no_address_sends_the_token_unencrypted_or_crashes_later(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    for url in (f"https://{text}", f"http://{text}", f"http://127.0.0.1{text}", text):
        try:
            taken = httpx.URL(loaded(monkeypatch, CLOUDFLARE_BASE_URL=url or "-").base_url)
        except SettingsError:
            continue
        assert (
            taken.scheme == "https" or taken.host in {"127.0.0.1", "localhost", "::1"} or taken.host.startswith("127.")
        )
        assert not taken.query
        assert not taken.userinfo


@pytest.mark.parametrize(
    ("variable", "most"),
    [
        ("LIVEHOUSE_RETENTION_DAYS", 36_500),
        ("LIVEHOUSE_UNFINISHED_DAYS", 36_500),
        ("LIVEHOUSE_OBSERVATION_DAYS", 36_500),
        ("LIVEHOUSE_AUDIT_LIVESTREAMS", 100_000),
        ("LIVEHOUSE_REQUESTS_PER_SECOND", 10_000),
        ("LIVEHOUSE_RETRY_PAUSE_SECONDS", 60),
        ("LIVEHOUSE_EXPORT_RATE", 1_000),
        ("LIVEHOUSE_PARTICIPANT_RATE", 1_000),
        ("LIVEHOUSE_AUDIO_EXPORT_RATE", 1_000),
        ("LIVEHOUSE_AUDIO_PARTICIPANT_RATE", 1_000),
    ],
)
def test_the_error_of_a_too_large_number_names_the_limit(
    variable: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(monkeypatch, **{variable: f"{most}"})
    with pytest.raises(SettingsError, match=rf"\b{most}\b"):
        loaded(monkeypatch, **{variable: f"{most + 1}"})


def test_several_faults_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as raised:
        loaded(monkeypatch, LIVEHOUSE_CONCURRENCY="many", LIVEHOUSE_LOOKBACK_DAYS="few", LIVEHOUSE_START_DATE="then")
    assert str(raised.value).count(" is malformed: it takes ") == 3
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        *product(ACCOUNT, [None, ""]),
        ("CLOUDFLARE_API_TOKEN", "  "),
        ("REALTIMEKIT_APP_ID", "  "),
    ],
)
def test_what_is_missing(missing: str, text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {name: value for name, value in ACCOUNT.items() if name != missing} | (
        {missing: text} if text is not None else {}
    )
    settings = loaded(monkeypatch, **given)
    with pytest.raises(SettingsError, match=rf"^{missing} is not set: it takes [^;\n]+$") as raised:
        settings.require_account()
    assert TOKEN not in str(raised.value)


def test_everything_missing_is_one_line() -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings().require_account()
    for variable in ACCOUNT:
        assert f"{variable} is not set" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_nothing_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(monkeypatch, **ACCOUNT).require_account()


@pytest.mark.parametrize("variable", VARIABLES)
def test_an_empty_variable_is_not_set(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, **{variable: ""}) == load_settings()


def test_the_secret_is_in_no_text(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    settings = loaded(monkeypatch, **ACCOUNT)
    assert settings.api_token is not None
    assert settings.api_token.get_secret_value() == TOKEN
    logging.getLogger("test").warning("%s %r", settings, settings.model_dump())
    for text in (repr(settings), str(settings), settings.model_dump_json(), f"{settings.model_dump()}", caplog.text):
        assert TOKEN not in text


def test_a_token_is_stripped(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, CLOUDFLARE_API_TOKEN=f" {TOKEN}\n")
    assert settings.api_token is not None
    assert settings.api_token.get_secret_value() == TOKEN


@pytest.mark.parametrize("field", Settings.model_fields)
def test_the_names_of_fields_are_no_variables(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # HOME is in everybody's environment.
    assert loaded(monkeypatch, **{field.upper(): "/somewhere/else"}) == Settings()
    assert loaded(monkeypatch, **{field: "/somewhere/else"}) == Settings()
