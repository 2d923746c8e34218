"""Request an address after each successful night. A service that watches it notices nights that never started."""

from pipelines.settings.settings import Settings
from pipelines.transport.delivery import deliver


def send_heartbeat(settings: Settings) -> str | None:
    """Request LIVEHOUSE_HEARTBEAT_URL, if that is set. Return one line if it was not accepted."""
    if settings.heartbeat is None:
        return None
    fault = deliver("GET", settings.heartbeat.get_secret_value())
    return fault and f"could not request LIVEHOUSE_HEARTBEAT_URL: {fault}"
