"""Loads, corrections and repairs at random, of two apps over six weeks."""

import random
from datetime import date, datetime, timedelta

import polars as pl

from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.catalog.streams import FACTS
from pipelines.live.merge import merge_day
from tests.report.conftest import SESSIONS, FileWarehouse, Row, session


def load_at_random(warehouse: FileWarehouse, dice: random.Random) -> None:
    start = date(2025, 10, 20)
    for _ in range(dice.randint(1, 6)):
        day = start + timedelta(days=dice.randint(0, 40))
        app_id, table = dice.choice("ab"), dice.choice(FACTS)
        if table.full_name != SESSIONS:
            figures = {column: dice.randint(0, 9) for column in table.measures}
            rows: list[Row] = [figures] if dice.random() < 0.8 else []
        else:
            rows = []
            for number in range(dice.randint(0, 5)):
                begins = datetime(day.year, day.month, day.day) + timedelta(minutes=dice.randint(-5, 1439))
                ends = begins + timedelta(minutes=dice.choice([0, 30, 300, 3000, 30000]))
                started = begins.isoformat() if dice.random() < 0.9 else None
                stopped = ends.isoformat() if started and dice.random() < 0.8 else None
                row = session(f"{app_id}{day}{number}", started, stopped, livestream_id=f"l{dice.randint(1, 3)}")
                row["err_message"] = dice.choice([None, None, "", "lost", "gone"])
                row["updated_at"] = dice.choice([ends, ends, None])
                if dice.random() < 0.2:
                    row["viewer_seconds"] = dice.choice([None, 0.0, 90.5])
                del row["is_live"]
                rows.append(row | {"fetched_at": ends + timedelta(hours=1)})
        known = bool(rows) or dice.random() < 0.5
        warehouse.load(table.full_name, day, *rows, app_id=app_id, is_known=known)
    change_at_random(warehouse, dice, start)


def change_at_random(warehouse: FileWarehouse, dice: random.Random, start: date) -> None:  # noqa: C901, PLR0912 - a list of cases
    """Changes of tables that are only joined, and of days that are repaired."""
    run = warehouse.connection.execute
    for _ in range(dice.randint(0, 3)):
        one = [dice.choice("ab"), f"l{dice.randint(1, 3)}"]
        day = start + timedelta(days=dice.randint(0, 40))
        table = dice.choice(FACTS).full_name
        match dice.choice(
            [
                "list",
                "rename",
                "move",
                "touch",
                "unlist",
                "quarantine",
                "repair",
                "forget",
                "observe",
                "assign",
                "price",
                "allow",
            ]
        ):
            case "list":
                run("DELETE FROM core.livestreams WHERE app_id = ? AND livestream_id = ?", one)
                meeting = dice.choice([None, "", "m1"])
                row: Row = {
                    "app_id": one[0],
                    "livestream_id": one[1],
                    "name": f"{dice.random()}",
                    "meeting_id": meeting,
                }
                warehouse.insert("core.livestreams", row)
            case "rename":
                run("UPDATE core.livestreams SET name = ? WHERE (app_id, livestream_id) = (?, ?)", [f"{day}", *one])
            case "move":
                meeting = dice.choice([None, "m1", "m2"])
                run(
                    "UPDATE core.livestreams SET meeting_id = ? WHERE (app_id, livestream_id) = (?, ?)", [meeting, *one]
                )
            case "touch":
                run("UPDATE core.livestreams SET updated_at = now()::TIMESTAMP, last_seen_at = now()::TIMESTAMP")
            case "unlist":
                run("DELETE FROM core.livestreams WHERE (app_id, livestream_id) = (?, ?)", one)
            case "quarantine":
                row = {"app_id": one[0], "table_name": table, "day": day, "record_id": f"{dice.random()}"}
                warehouse.insert("ops.quarantine", row)
            case "repair":
                run("DELETE FROM ops.quarantine WHERE app_id = ? AND random() < 0.5", one[:1])
            case "forget":
                run("DELETE FROM ops.days WHERE (table_name, app_id, day) = (?, ?, ?)", [table, one[0], day])
                run(f"DELETE FROM {table} WHERE (app_id, day) = (?, ?)", [one[0], day])
            case "assign":
                assigned = dice.choice(["livestream", "meeting"]), dice.choice(["l1", "l2", "m1"])
                run("DELETE FROM ops.customers WHERE (assigned_by, record_id) = (?, ?)", assigned)
                run("INSERT INTO ops.customers VALUES (?, ?, ?)", [*assigned, dice.choice(["north", "south"])])
            case "price":
                run("UPDATE ops.rates SET export_rate = ? WHERE app_id = ?", [dice.choice([0.5, 0.01]), one[0]])
            case "allow":
                holder = dice.choice([("app", one[0]), ("customer", "north")])
                run("DELETE FROM ops.allowances WHERE (holder_type, holder) = (?, ?)", holder)
                run(
                    "INSERT INTO ops.allowances VALUES (?, ?, 'viewer_minutes', ?, 0.5)", [*holder, dice.randint(0, 99)]
                )
            case "observe":
                observe(warehouse, dice, one[0], one[1], day)


def observe(warehouse: FileWarehouse, dice: random.Random, app_id: str, livestream_id: str, day: date) -> None:
    begins = datetime(day.year, day.month, day.day) + timedelta(seconds=dice.choice([0, 40_000, 86_000]))
    ages = [15 * n for n in range(1, dice.randint(2, 60))]
    seen = {
        "livestream_id": livestream_id,
        "session_id": f"{day}{dice.random()}",
        "observed_at": [begins + timedelta(seconds=age) for age in ages],
        "ingest_seconds": [60.0 if age < 50 else float(age) for age in ages],
        "viewer_seconds": [60.0 if age < 50 else age * 7.5 for age in ages],
        "started_at": begins,
    }
    frame = pl.DataFrame(seen, schema_overrides=LIVE_OBSERVATIONS.polars_schema).with_columns(
        pl.lit(app_id).alias("app_id")
    )
    for (at,), rows in frame.group_by(pl.col("observed_at").dt.date(), maintain_order=True):
        assert isinstance(at, date)
        by_hour = dice.random() < 0.3
        merge_day(warehouse.connection, app_id, at, rows=rows, by_hour=by_hour, run_id="run", now=warehouse.tick())
