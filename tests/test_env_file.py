"""The file `.env`: what is read from it, and whose file is refused."""

import os
from pathlib import Path

import pytest

from pipelines.errors import SettingsError
from pipelines.settings.settings import Settings, load_settings
from tests.test_settings import TOKEN, VARIABLES, loaded


@pytest.fixture(autouse=True)
def no_home(own_settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIVEHOUSE_HOME")


def test_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(
        "# comment\nCLOUDFLARE_API_TOKEN='"
        + TOKEN
        + '\'\nexport CLOUDFLARE_ACCOUNT_ID="a"\nREALTIMEKIT_APP_ID=one,two\n'
        "LIVEHOUSE_CONCURRENCY=\nUNKNOWN=5\nHOME=/x\nhome=/x\n\nLIVEHOUSE_LOOKBACK_DAYS=7 # a week\n"
    )
    settings = load_settings()
    settings.require_account()
    assert (settings.account_id, settings.app_ids, settings.concurrency) == ("a", ("one", "two"), 8)
    assert (settings.lookback_days, settings.home) == (7, Path("data"))
    assert loaded(monkeypatch, LIVEHOUSE_LOOKBACK_DAYS="2").lookback_days == 2  # the environment comes first
    assert "CLOUDFLARE_API_TOKEN" not in os.environ


def test_a_home_in_the_file_may_begin_with_a_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Path(".env").write_text("LIVEHOUSE_HOME=~/livehouse\nLIVEHOUSE_WAREHOUSE=~/w.duckdb\n")
    settings = load_settings()
    assert (settings.home, settings.warehouse) == (tmp_path / "livehouse", tmp_path / "w.duckdb")


def test_a_fault_in_the_file_names_the_variable() -> None:
    Path(".env").write_text("LIVEHOUSE_LOOKBACK_DAYS=badvalue\n")
    with pytest.raises(SettingsError, match=r"^LIVEHOUSE_LOOKBACK_DAYS is malformed") as raised:
        load_settings()
    assert "badvalue" not in str(raised.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"CLOUDFLARE_API_TOKEN=\xe4\n"])
def test_a_file_that_is_no_text_is_one_line(content: bytes) -> None:
    Path(".env").write_bytes(content)
    with pytest.raises(SettingsError, match=r"\.env is not UTF-8 text"):
        load_settings()


@pytest.mark.parametrize("content", ["", "\n\n", "# x\n", "A" * 100_000, "LIVEHOUSE_HOME\n"])
def test_an_empty_file(content: str, caplog: pytest.LogCaptureFixture) -> None:
    Path(".env").write_text(content)
    assert load_settings() == Settings(_env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own


@pytest.mark.parametrize("line", ["no assignment", "=", 'LIVEHOUSE_HOME="never closed', "LIVEHOUSE HOME=x"])
def test_a_malformed_line_is_named_and_not_shown(line: str) -> None:
    Path(".env").write_text(f"# first\nLIVEHOUSE_LOOKBACK_DAYS=5\n{line}\nLIVEHOUSE_CONCURRENCY=4\n")
    with pytest.raises(SettingsError, match=r"^\.env, line 3, is not NAME=value"):
        load_settings()


def test_a_dangling_link_is_reported() -> None:
    Path(".env").symlink_to(".env")
    with pytest.raises(SettingsError, match=r"\.env cannot be read"):
        load_settings()


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o620, 0o602])
def test_a_file_that_others_can_write_is_refused(mode: int) -> None:
    Path(".env").write_text("CLOUDFLARE_BASE_URL=https://elsewhere.example\n")
    Path(".env").chmod(mode)
    with pytest.raises(SettingsError, match=r"can be written by others.*`chmod go-w"):
        load_settings()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link away")
@pytest.mark.parametrize("foreign", [".env", "second link", "settings"])
def test_a_link_that_another_user_planted_is_refused(foreign: str, tmp_path: Path) -> None:
    target, second = tmp_path / "settings", tmp_path / "second link"
    target.write_text("CLOUDFLARE_BASE_URL=https://elsewhere.example\n")
    second.symlink_to("settings")
    Path(".env").symlink_to(second)
    load_settings()
    os.chown(foreign if foreign == ".env" else tmp_path / foreign, 65533, -1, follow_symlinks=False)
    with pytest.raises(SettingsError, match=r"another user.*`chown"):
        load_settings()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    """Placed in a directory where another user starts the program, it would decide where that user's token is sent."""
    Path(".env").write_text("CLOUDFLARE_BASE_URL=https://elsewhere.example\n")
    os.chown(".env", 65533, -1)
    with pytest.raises(SettingsError, match="belongs to another user"):
        load_settings()  # as root too, which may start the program anywhere
    tmp_path.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(SettingsError, match="belongs to another user"):
            load_settings()
    finally:
        os.seteuid(0)


def test_a_path_that_no_file_can_have() -> None:
    Path(".env").write_bytes(b"LIVEHOUSE_HOME=a\0b\n")
    with pytest.raises(SettingsError, match="LIVEHOUSE_HOME"):
        load_settings()


def test_a_directory_of_that_name_is_no_file() -> None:
    Path(".env").mkdir()
    load_settings()


def test_the_example_names_every_variable_of_the_contract_and_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    example = (Path(__file__).parents[1] / ".env.example").read_text()
    contract = {variable for variable in VARIABLES if variable != "LIVEHOUSE_RETRY_PAUSE_SECONDS"}
    assert not {variable for variable in contract if f"{variable}=" not in example}
    Path(".env").write_text(example)
    assert load_settings() == Settings(_env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own
