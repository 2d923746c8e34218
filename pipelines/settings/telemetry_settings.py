"""Settings about logs, metrics, traces and heartbeats."""

from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from pipelines.errors import SettingsError
from pipelines.settings.addresses import is_safe
from pipelines.settings.log_format import LOG_FORMAT
from pipelines.settings.values import parse_collector, parse_collector_headers, parse_webhook

_COLLECTOR, _HEADERS = "LIVEHOUSE_OTLP_ENDPOINT", "LIVEHOUSE_OTLP_HEADERS"


class TelemetrySettings(BaseSettings):
    """The part of `Settings` about what watches runs: logs, a collector, a heartbeat service."""

    log_format: Literal["text", "json"] = Field(
        default="text", validation_alias=LOG_FORMAT, description="text, or json for one JSON object per line"
    )
    collector: str | None = Field(
        default=None,
        validation_alias=_COLLECTOR,
        description="the http or https address of an OpenTelemetry collector (OTLP over HTTP), without user or query",
    )
    collector_headers: SecretStr | None = Field(
        default=None,
        validation_alias=_HEADERS,
        description="headers for the collector as NAME=VALUE, several separated by commas, values percent-encoded",
    )
    heartbeat: SecretStr | None = Field(
        default=None,
        validation_alias="LIVEHOUSE_HEARTBEAT_URL",
        description="an https address (http only for this machine) to request after each successful night",
    )

    _collector_is_an_address = field_validator("collector")(parse_collector)
    _headers_are_pairs = field_validator("collector_headers")(parse_collector_headers)
    _heartbeat_is_safe = field_validator("heartbeat")(parse_webhook)

    @model_validator(mode="after")
    def _headers_travel_encrypted(self) -> Self:
        if self.collector_headers is not None and not self.collector:
            raise SettingsError(f"{_HEADERS} is set without {_COLLECTOR}: set both, or neither")
        if self.collector_headers is not None and not is_safe(self.collector or ""):
            raise SettingsError(f"{_HEADERS} would travel unencrypted: {_COLLECTOR} must be https, or this machine")
        return self
