"""Every variable a user can set, once. Nothing here performs a request or writes a file."""

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipelines.addresses import is_safe
from pipelines.clock import today
from pipelines.env_file import check_env_file
from pipelines.errors import SettingsError

ID_PATTERN = re.compile("[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,256}")
"""What the API uses as identifiers: text of at most 256 characters without control characters."""

ENV_FILE = Path(".env")

_WAREHOUSE = "the path of a DuckDB file, or ducklake:postgres: and how to reach a PostgreSQL"
_LAKEHOUSE = "ducklake:postgres:"

_IN_NO_PATH = {"\0", *map(chr, range(0xD800, 0xE000))}
"""What DuckDB cannot open; a byte of the environment that is no UTF-8 arrives as half a character."""


class Settings(BaseSettings):
    """The settings of the contract, from the environment or from `.env` in the working directory."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    api_token: SecretStr | None = Field(
        default=None,
        validation_alias="CLOUDFLARE_API_TOKEN",
        description="an API token with *Realtime* permission, one line of printable ASCII",
    )
    account_id: str | None = Field(
        default=None, validation_alias="CLOUDFLARE_ACCOUNT_ID", description="an account identifier"
    )
    app_ids: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="REALTIMEKIT_APP_ID",
        description="an app identifier, or several separated by commas",
    )
    base_url: str = Field(
        default="https://api.cloudflare.com/client/v4",
        validation_alias="CLOUDFLARE_BASE_URL",
        description="an https address (http only for this machine), without user, query or fragment",
    )
    home: Path = Field(default=Path("data"), validation_alias="LIVEHOUSE_HOME", description="a directory to write into")
    warehouse_path: Path | None = Field(default=None, validation_alias="LIVEHOUSE_WAREHOUSE", description=_WAREHOUSE)
    lakehouse: SecretStr | None = Field(default=None, validation_alias="LIVEHOUSE_WAREHOUSE", description=_WAREHOUSE)
    data_path: str | None = Field(
        default=None,
        validation_alias="LIVEHOUSE_DATA_PATH",
        description="a directory, or s3://BUCKET/PREFIX, for the files of a lakehouse",
    )
    start_date: date = Field(
        default=date(2025, 1, 1),
        validation_alias="LIVEHOUSE_START_DATE",
        description="a past day as YYYY-MM-DD",
    )
    lookback_days: int = Field(
        default=3,
        ge=1,
        le=366,
        validation_alias="LIVEHOUSE_LOOKBACK_DAYS",
        description="a whole number of days, 1 to 366",
    )
    retention_days: int = Field(
        default=180,
        ge=1,
        le=36500,
        validation_alias="LIVEHOUSE_RETENTION_DAYS",
        description="a whole number of days, 1 or more",
    )
    observation_days: int = Field(
        default=30,
        ge=1,
        le=36500,
        validation_alias="LIVEHOUSE_OBSERVATION_DAYS",
        description="a whole number of days, 1 or more",
    )
    requests_per_second: float = Field(
        default=4,
        ge=0,
        le=10_000,
        allow_inf_nan=False,
        validation_alias="LIVEHOUSE_REQUESTS_PER_SECOND",
        description="a number of requests per second, 0 for unlimited",
    )
    concurrency: int = Field(
        default=8,
        ge=1,
        le=64,
        validation_alias="LIVEHOUSE_CONCURRENCY",
        description="a whole number of requests in flight, 1 to 64",
    )
    retry_pause_seconds: float = Field(
        default=0.5,
        gt=0,
        le=60,
        allow_inf_nan=False,
        validation_alias="LIVEHOUSE_RETRY_PAUSE_SECONDS",
        description="seconds before a failed request is sent again, above 0; the pauses grow from there",
    )
    lock_wait_seconds: float = Field(
        default=3600,
        ge=0,
        allow_inf_nan=False,
        validation_alias="LIVEHOUSE_LOCK_WAIT_SECONDS",
        description="seconds to wait for another run on the same home, 0 or more",
    )
    alert_webhook: SecretStr | None = Field(
        default=None,
        validation_alias="LIVEHOUSE_ALERT_WEBHOOK",
        description="an https address (http only for this machine) that takes Slack's JSON",
    )
    export_rate: float = Field(
        default=0.010,
        ge=0,
        le=1000,
        allow_inf_nan=False,
        validation_alias="LIVEHOUSE_EXPORT_RATE",
        description="dollars per minute recorded or exported, for the report's estimate, 0 or more",
    )
    participant_rate: float = Field(
        default=0.002,
        ge=0,
        le=1000,
        allow_inf_nan=False,
        validation_alias="LIVEHOUSE_PARTICIPANT_RATE",
        description="dollars per participant minute, for the report's estimate, 0 or more",
    )

    @field_validator("api_token")
    @classmethod
    def _token_fits_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        if token is None:
            return None
        text = token.get_secret_value().strip()
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("not one line of printable ASCII")
        return SecretStr(text) if text else None

    @field_validator("account_id")
    @classmethod
    def _account_is_an_id(cls, account_id: str | None) -> str | None:
        if account_id is not None and not ID_PATTERN.fullmatch(account_id := account_id.strip()):
            raise ValueError("not an identifier")
        return account_id

    @field_validator("app_ids", mode="before")
    @classmethod
    def _apps_are_ids(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        apps = tuple(dict.fromkeys(part.strip() for part in given.split(",") if part.strip()))
        if not all(ID_PATTERN.fullmatch(app) for app in apps):
            raise ValueError("not identifiers")
        return apps

    @field_validator("base_url")
    @classmethod
    def _address_is_safe(cls, url: str) -> str:
        # urlsplit passes over a tab in the middle, an empty query and an empty user: what it read was not this text.
        if not url.strip().isascii() or not url.strip().isprintable() or set(url.strip()) & set(" ?#@\\"):
            raise ValueError("not a plain address")
        if not is_safe(url.strip()):
            raise ValueError("the token would travel unencrypted, or nowhere")
        return url.strip().rstrip("/")

    @field_validator("alert_webhook")
    @classmethod
    def _webhook_is_safe(cls, address: SecretStr | None) -> SecretStr | None:
        if address is None:
            return None
        text = address.get_secret_value().strip()
        if not text.isascii() or not text.isprintable() or " " in text or not is_safe(text):
            raise ValueError("not an address, or it would travel unencrypted")
        return SecretStr(text)

    @field_validator("warehouse_path", mode="before")
    @classmethod
    def _file_if_no_lakehouse(cls, given: object) -> object:
        return None if isinstance(given, str) and given.strip().startswith("ducklake:") else given

    @field_validator("lakehouse", mode="before")
    @classmethod
    def _lakehouse_if_no_file(cls, given: object) -> object:
        """Only how to reach PostgreSQL: it may hold a password, so it is a secret."""
        if not isinstance(given, str) or not given.strip().startswith("ducklake:"):
            return None
        reached_by = given.strip().removeprefix(_LAKEHOUSE).strip()
        if not given.strip().startswith(_LAKEHOUSE) or not reached_by or "\0" in given:
            raise ValueError("another kind of catalog, or none")
        return reached_by

    @field_validator("data_path")
    @classmethod
    def _files_can_be(cls, given: str | None) -> str | None:
        if given is not None and (set(given) & _IN_NO_PATH or ("://" in given and not re.match(r"s3://[^/]+", given))):
            raise ValueError("not a place of files")
        return given

    @field_validator("home", "warehouse_path")
    @classmethod
    def _path_can_be(cls, path: Path | None) -> Path | None:
        """No shell expands a `~` in `.env`: without this, a directory of that name is made."""
        if path is not None and set(str(path)) & _IN_NO_PATH:
            raise ValueError("not a path")
        try:
            return path and path.expanduser()
        except RuntimeError:
            raise ValueError("there is no such home directory") from None

    @model_validator(mode="after")
    def _starts_in_the_past(self) -> Self:
        if not date(2015, 1, 1) <= self.start_date <= today():
            raise ValueError("LIVEHOUSE_START_DATE")
        return self

    @property
    def warehouse(self) -> Path:
        """The published DuckDB file, opened by anybody; of no meaning where there is a lakehouse."""
        return self.warehouse_path or self.home / "warehouse.duckdb"

    @property
    def dagster_home(self) -> Path:
        """Where Dagster keeps its history."""
        return self.home.absolute() / "dagster"

    def require_account(self) -> None:
        """Raise `SettingsError` naming each of the three variables without which nothing can be asked."""
        given = {"api_token": self.api_token, "account_id": self.account_id, "app_ids": self.app_ids}
        missing = [name for name, value in given.items() if not value]
        if missing:
            raise SettingsError("; ".join(f"{_variable(name)} is not set: it takes {_takes(name)}" for name in missing))


def _variable(field: str) -> str:
    return str(Settings.model_fields[field].validation_alias)


def _takes(field: str) -> str:
    return str(Settings.model_fields[field].description)


def load_settings(**given: str) -> Settings:
    """Read the settings; a malformed one is a `SettingsError` of one line that never shows the value.

    What is `given`, by variable, comes before the environment.
    """
    check_env_file(ENV_FILE)
    try:
        return Settings(**given)  # type: ignore[arg-type]  # read by alias, as from the environment
    except ValidationError as error:
        by_variable = {_variable(name): name for name in Settings.model_fields}
        faults = []
        for fault in error.errors(include_input=False, include_url=False):
            variable = str(fault["loc"][0]) if fault["loc"] else "LIVEHOUSE_START_DATE"
            name = by_variable.get(variable, variable)
            faults.append(f"{_variable(name)} is malformed: it takes {_takes(name)}")
        raise SettingsError("; ".join(faults)) from None
