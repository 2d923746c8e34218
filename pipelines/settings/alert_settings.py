"""Settings of alerts: where messages go and in which form, the rules, the morning digest."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from pipelines.settings.values import parse_path, parse_webhook

_URL = re.compile(r"https?://[\w.\[\]:-]+(/[!-~]*)?", re.ASCII)
_SHORTEST_SECRET = 16


class AlertSettings(BaseSettings):
    """The part of `Settings` that concerns alerts."""

    alert_webhook: SecretStr | None = Field(
        default=None,
        validation_alias="LIVEHOUSE_ALERT_WEBHOOK",
        description="an https address (http only for this machine) that accepts JSON",
    )
    alert_format: Literal["slack", "json"] = Field(
        default="slack", validation_alias="LIVEHOUSE_ALERT_FORMAT", description="slack or json"
    )
    alert_secret: SecretStr | None = Field(
        default=None,
        validation_alias="LIVEHOUSE_ALERT_SECRET",
        description=f"at least {_SHORTEST_SECRET} printable ASCII characters, to sign messages with",
    )
    alert_rules: Path | None = Field(
        default=None, validation_alias="LIVEHOUSE_ALERTS", description="the path of a TOML file with alert rules"
    )
    digest: Literal["off", "webhook"] = Field(
        default="off", validation_alias="LIVEHOUSE_DIGEST", description="webhook or off"
    )
    report_url: str | None = Field(
        default=None,
        validation_alias="LIVEHOUSE_REPORT_URL",
        description="the http or https address at which people open the report, without user and password",
    )

    _webhook_is_safe = field_validator("alert_webhook")(parse_webhook)
    _rules_can_be = field_validator("alert_rules")(parse_path)

    @field_validator("alert_secret")
    @classmethod
    def _secret_is_long(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is None:
            return None
        text = secret.get_secret_value().strip()
        if len(text) < _SHORTEST_SECRET or not text.isascii() or not text.isprintable():
            raise ValueError("too short, or not printable ASCII")
        return SecretStr(text)

    @field_validator("report_url")
    @classmethod
    def _report_has_an_address(cls, address: str | None) -> str | None:
        if address is not None and not _URL.fullmatch(address := address.strip()):
            raise ValueError("not an address, or one with a user")
        return address
