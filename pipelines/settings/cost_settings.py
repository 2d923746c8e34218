"""The settings of cost estimates: rates, allowances and customers."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from pipelines.settings.values import parse_app_ids, parse_path


def _rate(default: float, variable: str, minute: str) -> float:
    """Declare the price of a minute."""
    return Field(
        default=default,
        ge=0,
        le=1000,
        allow_inf_nan=False,
        validation_alias=variable,
        description=f"dollars per {minute}, for cost estimates, 0 to 1000",
    )


class CostSettings(BaseSettings):
    """Part of `Settings`. The files it names are read by `billing_terms.py`."""

    export_rate: float = _rate(0.010, "LIVEHOUSE_EXPORT_RATE", "minute of video recorded or exported")
    participant_rate: float = _rate(0.002, "LIVEHOUSE_PARTICIPANT_RATE", "participant minute with video")
    audio_export_rate: float = _rate(0.003, "LIVEHOUSE_AUDIO_EXPORT_RATE", "minute of audio recorded or exported")
    audio_participant_rate: float = _rate(
        0.0005, "LIVEHOUSE_AUDIO_PARTICIPANT_RATE", "participant minute without video"
    )
    audio_apps: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="LIVEHOUSE_AUDIO_APPS",
        description="identifiers of the apps without video, separated by commas",
    )
    allowances_path: Path | None = Field(
        default=None, validation_alias="LIVEHOUSE_ALLOWANCES", description="the path of a TOML file"
    )
    customers_path: Path | None = Field(
        default=None, validation_alias="LIVEHOUSE_CUSTOMERS", description="the path of a CSV file"
    )

    _audio_apps_are_ids = field_validator("audio_apps", mode="before")(parse_app_ids)
    _terms_can_be = field_validator("allowances_path", "customers_path")(parse_path)
