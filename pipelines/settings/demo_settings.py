"""Settings of the demo: nothing from the environment or from `.env` reaches it, except where the home is."""

import os
from pathlib import Path

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from pipelines.settings.env_file import check_env_file
from pipelines.settings.settings import ENV_FILE, Settings, read_sources, validate_settings, variable_of


class ExplicitSettings(Settings):
    """Settings from the caller only, none from the environment or from `.env`."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - same
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - same
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use the caller's values only."""
        return (init_settings,)


def load_demo_settings(**given: str) -> Settings:
    """Return the settings of the demo: `given`, and LIVEHOUSE_HOME from the environment or `.env` if it is not given.

    All other variables are ignored, also malformed ones.
    """
    check_env_file(ENV_FILE)
    return validate_settings(
        ExplicitSettings, {name: text for name, text in read_sources().items() if name == variable_of("home")} | given
    )


def build_demo_environment(home: Path) -> dict[str, str]:
    """Return the environment for processes that use the demo at `home`: LIVEHOUSE_HOME is the only setting in it."""
    ours = {variable_of(name) for name in Settings.model_fields}
    return {name: text for name, text in os.environ.items() if name not in ours} | {variable_of("home"): str(home)}
