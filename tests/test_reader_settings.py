"""Settings of readers: their own login and key for a lakehouse, and no secret of runs."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from pipelines.errors import SettingsError
from pipelines.settings.reader_settings import SECRETS_OF_RUNS, load_reader_settings
from pipelines.storage.warehouse import check_readers_see, open_readers_warehouse
from tests.test_settings import TOKEN, loaded


@pytest.fixture(autouse=True)
def no_home(own_settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIVEHOUSE_HOME")


KEY = ("LIVEHOUSE_READER_ACCESS_KEY_ID", "LIVEHOUSE_READER_SECRET_ACCESS_KEY")
READER = "ducklake:postgres:dbname=x user=reader"


@pytest.mark.parametrize("given", KEY)
def test_half_a_key_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    [missing] = set(KEY) - {given}
    with pytest.raises(SettingsError, match=rf"^{given} is set without {missing}: set both, or neither$"):
        loaded(monkeypatch, **{given: "hush"})


def test_readers_open_what_runs_load_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run would load into a file, and `livehouse sql` show the lakehouse: old figures that look right."""
    settings = loaded(monkeypatch, LIVEHOUSE_READER_WAREHOUSE=READER)
    with pytest.raises(
        SettingsError, match=r"^LIVEHOUSE_READER_WAREHOUSE is a lakehouse, and LIVEHOUSE_WAREHOUSE is not"
    ):
        check_readers_see(settings)
    with pytest.raises(
        SettingsError, match=r"^LIVEHOUSE_READER_WAREHOUSE is a lakehouse, and LIVEHOUSE_WAREHOUSE is a file"
    ):
        open_readers_warehouse(loaded(monkeypatch, LIVEHOUSE_WAREHOUSE="w.duckdb"))
    check_readers_see(loaded(monkeypatch, LIVEHOUSE_WAREHOUSE=READER))


def test_a_readers_key_needs_a_lakehouse(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, **dict.fromkeys(KEY, "hush"))
    with pytest.raises(SettingsError, match=rf"^{KEY[0]} is a key for the files of a lakehouse"):
        open_readers_warehouse(settings)


def test_readers_load_no_secret_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "CLOUDFLARE_API_TOKEN": TOKEN,
        "LIVEHOUSE_ALERT_WEBHOOK": "https://x.example/hush",
        "LIVEHOUSE_ALERT_SECRET": "hush-hush-hush-hush",
        "LIVEHOUSE_OTLP_HEADERS": "key=hush",
        "LIVEHOUSE_HEARTBEAT_URL": "https://x.example/hush",
    }
    assert secrets.keys() == SECRETS_OF_RUNS
    Path(".env").write_text(
        "".join(f"{name}={text}\n" for name, text in secrets.items()) + "LIVEHOUSE_HOME=elsewhere\n"
    )
    for _ in ("from .env", "from the environment"):
        settings = load_reader_settings()
        assert [name for name, value in settings if isinstance(value, SecretStr)] == []
        assert settings.home == Path("elsewhere")
        for name, text in secrets.items():
            monkeypatch.setenv(name.lower(), text)
            monkeypatch.setenv(name, text)
    Path(".env").write_text("CLOUDFLARE_API_TOKEN=two\\nlines\nLIVEHOUSE_LOOKBACK_DAYS=x\n")
    with pytest.raises(SettingsError, match=r"^LIVEHOUSE_LOOKBACK_DAYS is malformed: [^;]+$"):
        load_reader_settings()
