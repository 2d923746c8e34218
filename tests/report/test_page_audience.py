"""Peak viewers on the page, by app and for all apps together."""

from datetime import datetime
from pathlib import Path

import pytest

from tests.report.test_page import page_of, query
from tests.report.test_page_cases import embedded, make_warehouse

MAIN, SIDE = "main-app", "side-app"


def observations(app_id: str, *seen: tuple[str, float]) -> list[str]:
    """Return SQL that inserts observations of one stream on one day: time and viewer seconds."""
    rows = ", ".join(
        f"('{app_id}', 'l', 's', TIMESTAMP '2026-02-28 {at}', {viewed}, 3600, DATE '2026-02-28', false)"
        for at, viewed in seen
    )
    return [
        (
            "INSERT INTO core.live_observations (app_id, livestream_id, session_id, observed_at, viewer_seconds,"
            f" ingest_seconds, day, is_thinned) VALUES {rows}"
        ),
        (
            "INSERT INTO ops.days BY NAME SELECT 'core.live_observations' AS table_name, app_id, day, count(*) AS row_count,"
            " true AS is_known, TIMESTAMP '2026-03-01' AS loaded_at FROM core.live_observations"
            f" WHERE app_id = '{app_id}' GROUP BY ALL"
        ),
    ]


def watched(directory: Path) -> Path:
    """Make a warehouse with 10 viewers of the main app at 12:00, 30 at 12:01, and 50 of the other app at 12:00."""
    main = observations(MAIN, ("12:00", 0), ("12:01", 600), ("12:02", 2400))
    return make_warehouse(
        directory, (MAIN, SIDE), days=3, changes=main + observations(SIDE, ("12:00", 0), ("12:01", 3000))
    )


@pytest.mark.long
def test_peak_viewers_of_all_apps_are_those_of_one_moment(tmp_path: Path) -> None:
    published = watched(tmp_path)
    found = embedded(page_of(published))["audience"]
    assert list(zip(found["app"], found["day"], found["peak"], strict=True)) == [(-1, 2, 60), (0, 2, 30), (1, 2, 50)]
    own = query(
        published,
        """SELECT peak_concurrent_viewers, viewers_peak_at FROM marts.stream_concurrency
        WHERE peak_concurrent_viewers IS NOT NULL ORDER BY app_id""",
    )
    assert own == [(30, datetime(2026, 2, 28, 12, 1)), (50, datetime(2026, 2, 28, 12))]


@pytest.mark.long
def test_observations_of_today_do_not_extend_the_days_of_the_page(tmp_path: Path) -> None:
    today = [sql.replace("2026-02-28", "2026-03-01") for sql in observations(MAIN, ("01:00", 0), ("01:01", 600))]
    assert embedded(page_of(make_warehouse(tmp_path, (MAIN,), days=3, changes=today)))["last"] == "2026-02-28"
