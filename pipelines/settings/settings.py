"""Every setting, declared once. Nothing here sends a request or writes a file."""

from datetime import date
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    SettingsConfigDict,
)

from pipelines.clock import today
from pipelines.errors import SettingsError
from pipelines.settings.alert_settings import AlertSettings
from pipelines.settings.cost_settings import CostSettings
from pipelines.settings.env_file import check_env_file
from pipelines.settings.telemetry_settings import TelemetrySettings
from pipelines.settings.values import (
    parse_account_id,
    parse_app_ids,
    parse_base_url,
    parse_data_path,
    parse_file_path,
    parse_lakehouse,
    parse_path,
    parse_readers_lakehouse,
    parse_token,
)

ENV_FILE = Path(".env")

_WAREHOUSE = "the path of a DuckDB file, or ducklake:postgres: and a PostgreSQL connection string; no other address"

_Days = Annotated[int, Field(ge=1, le=36_500)]
_DAYS = "a whole number of days, 1 to 36500"


class Settings(AlertSettings, CostSettings, TelemetrySettings):
    """All settings, from the environment or from `.env` in the working directory."""

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
    reader_lakehouse: SecretStr | None = Field(
        default=None,
        validation_alias="LIVEHOUSE_READER_WAREHOUSE",
        description="ducklake:postgres: and a PostgreSQL connection string with a role that may only SELECT",
    )
    reader_access_key_id: str | None = Field(
        default=None,
        validation_alias="LIVEHOUSE_READER_ACCESS_KEY_ID",
        description="the id of a key with read-only access to the files of a lakehouse",
    )
    reader_secret_access_key: SecretStr | None = Field(
        default=None, validation_alias="LIVEHOUSE_READER_SECRET_ACCESS_KEY", description="the secret of that key"
    )
    data_path: str | None = Field(
        default=None,
        validation_alias="LIVEHOUSE_DATA_PATH",
        description="a directory, or s3://BUCKET/PREFIX, for the files of a lakehouse",
    )
    export_path: str | None = Field(
        default=None,
        validation_alias="LIVEHOUSE_EXPORT_PATH",
        description="a directory, or s3://BUCKET/PREFIX, that each run exports core and marts to as Parquet",
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
    retention_days: _Days = Field(
        default=180,
        validation_alias="LIVEHOUSE_RETENTION_DAYS",
        description=_DAYS,
    )
    unfinished_days: _Days | None = Field(
        default=None,
        validation_alias="LIVEHOUSE_UNFINISHED_DAYS",
        description=_DAYS,
    )
    observation_days: _Days = Field(
        default=30,
        validation_alias="LIVEHOUSE_OBSERVATION_DAYS",
        description=_DAYS,
    )
    audit_livestreams: int = Field(
        default=20,
        ge=0,
        le=100_000,
        validation_alias="LIVEHOUSE_AUDIT_LIVESTREAMS",
        description="a whole number of livestreams up to 100000, 0 for none",
    )
    requests_per_second: float = Field(
        default=4,
        ge=0,
        le=10_000,
        allow_inf_nan=False,
        validation_alias="LIVEHOUSE_REQUESTS_PER_SECOND",
        description="a number of requests per second up to 10000, 0 for unlimited",
    )
    concurrency: int = Field(
        default=8,
        ge=1,
        le=64,
        validation_alias="LIVEHOUSE_CONCURRENCY",
        description="a whole number of requests in flight, 1 to 64",
    )
    apps_per_run: int = Field(
        default=0,
        ge=0,
        le=100_000,
        validation_alias="LIVEHOUSE_APPS_PER_RUN",
        description="a whole number of apps for each run that a schedule starts, 0 for all of them in one run",
    )
    retry_pause_seconds: float = Field(
        default=0.5,
        gt=0,
        le=60,
        allow_inf_nan=False,
        validation_alias="LIVEHOUSE_RETRY_PAUSE_SECONDS",
        description="seconds before the first retry of a request, above 0 and up to 60; later pauses grow",
    )
    lock_wait_seconds: float = Field(
        default=3600,
        ge=0,
        allow_inf_nan=False,
        validation_alias="LIVEHOUSE_LOCK_WAIT_SECONDS",
        description="seconds to wait for another run on the same home, 0 or more",
    )

    _token_fits_a_header = field_validator("api_token")(parse_token)
    _account_is_an_id = field_validator("account_id")(parse_account_id)
    _apps_are_ids = field_validator("app_ids", mode="before")(parse_app_ids)
    _address_is_safe = field_validator("base_url")(parse_base_url)
    _file_if_no_lakehouse = field_validator("warehouse_path", mode="before")(parse_file_path)
    _lakehouse_if_no_file = field_validator("lakehouse", mode="before")(parse_lakehouse)
    _readers_have_a_lakehouse = field_validator("reader_lakehouse", mode="before")(parse_readers_lakehouse)
    _files_can_be = field_validator("data_path", "export_path")(parse_data_path)
    _path_can_be = field_validator("home", "warehouse_path")(parse_path)

    @field_validator("start_date")
    @classmethod
    def _starts_in_the_past(cls, start_date: date) -> date:
        if not date(2015, 1, 1) <= start_date <= today():
            raise ValueError("not a past day")
        return start_date

    @model_validator(mode="after")
    def _has_whole_key(self) -> Self:
        key = {
            "reader_access_key_id": self.reader_access_key_id,
            "reader_secret_access_key": self.reader_secret_access_key,
        }
        missing = [variable_of(name) for name, value in key.items() if not value]
        if len(missing) == 1:
            given = next(variable_of(name) for name, value in key.items() if value)
            raise SettingsError(f"{given} is set without {missing[0]}: set both, or neither")
        return self

    @property
    def warehouse(self) -> Path:
        """The published DuckDB file for readers; meaningless with a lakehouse."""
        return self.warehouse_path or self.home / "warehouse.duckdb"

    @property
    def dagster_home(self) -> Path:
        """The directory of Dagster's history."""
        return self.home.absolute() / "dagster"

    def require_account(self) -> None:
        """Raise `SettingsError` that names each missing variable of the three that every request needs."""
        given = {"api_token": self.api_token, "account_id": self.account_id, "app_ids": self.app_ids}
        missing = [name for name, value in given.items() if not value]
        if missing:
            raise SettingsError(
                "; ".join(f"{variable_of(name)} is not set: it takes {_takes(name)}" for name in missing)
            )


def variable_of(field: str) -> str:
    """Return the environment variable of a field."""
    return str(Settings.model_fields[field].validation_alias)


def _takes(field: str) -> str:
    return str(Settings.model_fields[field].description)


def load_settings(**given: str) -> Settings:
    """Read the settings. Values in `given`, by variable, override the environment.

    Raises `SettingsError` with one line that names each missing or malformed variable.
    """
    check_env_file(ENV_FILE)
    return validate_settings(Settings, given)


def has_own_warehouse() -> bool:
    """Return whether the environment or `.env` sets LIVEHOUSE_WAREHOUSE."""
    return variable_of("warehouse_path") in read_sources()


def read_sources() -> dict[str, str]:
    """Return the unparsed values in the environment and in `.env`, by variable."""
    return {**DotEnvSettingsSource(Settings)(), **EnvSettingsSource(Settings)()}


def validate_settings(kind: type[Settings], given: dict[str, str]) -> Settings:
    """Return settings of a class. Raises `SettingsError` with one line that never quotes a value."""
    try:
        return kind(**given)  # type: ignore[arg-type]  # read by alias, as from the environment
    except ValidationError as error:
        by_variable = {variable_of(name): name for name in Settings.model_fields}
        faults = []
        for fault in error.errors(include_input=False, include_url=False):
            variable = str(fault["loc"][0])
            name = by_variable.get(variable, variable)
            faults.append(f"{variable_of(name)} is malformed: it takes {_takes(name)}")
        raise SettingsError("; ".join(faults)) from None
