"""A receiver of messages, and a home whose last day was bad."""

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipelines.settings.settings import Settings
from pipelines.storage.storage_format import create_database_file
from pipelines.storage.warehouse import open_warehouse
from tests.fixed_clock import NOW
from tests.report.conftest import SESSIONS, FileWarehouse, Row, session
from tests.webhook_receiver import Receiver

BAD_DAY = NOW.date() - timedelta(days=1)
MORNING = datetime.combine(NOW.date(), datetime.min.time()) + timedelta(hours=3)
"""When the night after the bad day has been loaded."""
APP = "aula"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver.listening() as receiver:
        yield receiver


def sessions_of(day_number: int, *, failed: int, hours: float = 0.5, waited: float = 5) -> list[Row]:
    """Return a day's 24 sessions of two livestreams; each is watched twice as long as it lasts."""
    day = BAD_DAY + timedelta(days=day_number)
    rows = []
    for number in range(24):
        started = datetime.combine(day, datetime.min.time()) + timedelta(hours=number, minutes=5)
        rows.append(
            session(f"{day}-{number}", f"{started}", f"{started + timedelta(hours=hours)}")
            | {
                "livestream_id": f"l{number % 2}",
                "invoked_at": started - timedelta(seconds=waited),
                "err_message": "encoder lost" if number < failed else None,
            }
        )
    return rows


def load_day(
    warehouse: FileWarehouse, day_number: int, *, app_id: str = APP, failed: int = 1, hours: float = 0.5
) -> None:
    """Load a day, counted from the bad one, in the night after it."""
    day = BAD_DAY + timedelta(days=day_number)
    rows = sessions_of(day_number, failed=failed, hours=hours)
    loaded_at = datetime.combine(day, datetime.min.time()) + timedelta(days=1, hours=2)
    warehouse.load(SESSIONS, day, *rows, app_id=app_id, loaded_at=loaded_at)


@pytest.fixture(scope="session")
def bad_home_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the bad day, and the four same weekdays before it: six of its sessions failed, none was late or unwatched."""
    home = tmp_path_factory.mktemp("bad") / "home"
    home.mkdir()
    for name in ("pipeline.duckdb", "pipeline_raw.duckdb"):
        create_database_file(home / name)
    warehouse = FileWarehouse(home / "pipeline.duckdb")
    warehouse.connection.begin()
    for week in range(1, 5):
        load_day(warehouse, -7 * week)
    load_day(warehouse, 0, failed=6)
    warehouse.connection.commit()
    warehouse.build("monthly_allowance")
    warehouse.connection.close()
    shutil.copyfile(home / "pipeline.duckdb", home / "warehouse.duckdb")
    return home


class BadHome:
    """A copy of that home, with settings that a test may change, and a receiver."""

    def __init__(self, home: Path, receiver: Receiver) -> None:
        self.home, self.receiver = home, receiver
        self.variables = {
            "LIVEHOUSE_HOME": str(home),
            "LIVEHOUSE_ALERT_WEBHOOK": receiver.address,
            "REALTIMEKIT_APP_ID": APP,
        }

    @property
    def settings(self) -> Settings:
        return Settings(**self.variables)  # type: ignore[arg-type]  # read by alias

    def use_rules(self, text: str) -> Path:
        path = self.home / "alerts.toml"
        path.write_text(text)
        self.variables["LIVEHOUSE_ALERTS"] = str(path)
        return path

    def publish(self) -> None:
        with open_warehouse(self.settings).open_working():
            pass
        shutil.copyfile(self.home / "pipeline.duckdb", self.home / "warehouse.duckdb")

    def change(self, *statements: str) -> None:
        """Change the working tables, rebuild the marts, and publish them."""
        warehouse = FileWarehouse(self.home / "pipeline.duckdb")
        for statement in statements:
            warehouse.connection.execute(statement)
        warehouse.connection.execute("DELETE FROM ops.mart_builds")
        warehouse.build("monthly_allowance")
        warehouse.connection.close()
        self.publish()

    def load_day(self, day_number: int, *, app_id: str = APP, failed: int = 1, hours: float = 0.5) -> None:
        warehouse = FileWarehouse(self.home / "pipeline.duckdb")
        load_day(warehouse, day_number, app_id=app_id, failed=failed, hours=hours)
        warehouse.build("monthly_allowance")
        warehouse.connection.close()
        self.publish()

    def incidents(self) -> list[tuple[str, str, str | None]]:
        """Return rule, app and closing of each incident."""
        with open_warehouse(self.settings).open_working() as connection:
            return connection.execute(
                "SELECT rule, app_id, closing FROM ops.incidents ORDER BY opened_at, rule"
            ).fetchall()


@pytest.fixture
def bad_home(bad_home_once: Path, tmp_path: Path, receiver: Receiver) -> BadHome:
    shutil.copytree(bad_home_once, tmp_path / "home")
    return BadHome(tmp_path / "home", receiver)
