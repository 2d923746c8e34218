"""Settings for commands that only read: they do not load the secrets that only runs need."""

from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from pipelines.settings.env_file import check_env_file
from pipelines.settings.settings import ENV_FILE, Settings, validate_settings

SECRETS_OF_RUNS = frozenset(
    {
        "CLOUDFLARE_API_TOKEN",
        "LIVEHOUSE_ALERT_WEBHOOK",
        "LIVEHOUSE_ALERT_SECRET",
        "LIVEHOUSE_OTLP_HEADERS",
        "LIVEHOUSE_HEARTBEAT_URL",
    }
)
"""Variables that these commands do not load, from the environment or from `.env`."""


class ReaderSettings(Settings):
    """All settings except the secrets that only runs need."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Remove those secrets from the environment and from `.env`."""
        for source in (env_settings, dotenv_settings):
            assert isinstance(source, EnvSettingsSource)  # noqa: S101 - as pydantic-settings documents
            source.env_vars = {
                name: text for name, text in source.env_vars.items() if name.upper() not in SECRETS_OF_RUNS
            }
        return init_settings, env_settings, dotenv_settings


def load_reader_settings() -> Settings:
    """Read the settings of a command that needs no token. Raises `SettingsError` as `load_settings` does."""
    check_env_file(ENV_FILE)
    return validate_settings(ReaderSettings, {})
