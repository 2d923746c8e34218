"""The format of log lines, which is needed before the settings are read: their errors are log lines too."""

import os
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values

LOG_FORMAT = "LIVEHOUSE_LOG_FORMAT"


def read_log_format(env_file: Path = Path(".env")) -> Literal["text", "json"]:
    """Return the format from the environment or the file. Settings report any other value than these two as malformed."""
    given = os.environ.get(LOG_FORMAT)
    if not given and env_file.is_file():  # a pipe can be read only once, by the settings
        try:
            given = dotenv_values(env_file).get(LOG_FORMAT)
        except (OSError, UnicodeDecodeError):  # reported when the settings are read
            given = None
    return "json" if given == "json" else "text"
