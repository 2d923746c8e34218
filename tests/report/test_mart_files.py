"""The files of the marts: what they must say, in which order they are built, and the macros they use."""

from pathlib import Path

import duckdb
import pytest

from pipelines.catalog.files import WAREHOUSE_FILE
from pipelines.errors import LivehouseError
from pipelines.marts import macros
from pipelines.marts.build import Mart, find_marts, order_marts, read_mart
from pipelines.report import figures
from tests.report.conftest import SESSIONS, FileWarehouse, only

MARTS = {mart.name: mart for mart in find_marts()}


def test_marts_are_those_of_the_contract_and_live_audience() -> None:
    assert sorted(MARTS) == [
        "daily_usage",
        "live_audience",
        "livestream_performance",
        "monthly_allowance",
        "monthly_cost",
        "monthly_usage",
        "reconciliation",
        "session_reliability",
        "stream_concurrency",
    ]


@pytest.mark.long
@pytest.mark.parametrize("mart", MARTS.values(), ids=MARTS)
def test_a_head_describes_every_column_and_the_database_has_the_comments(mart: Mart, warehouse: FileWarehouse) -> None:
    warehouse.build(mart)
    columns = warehouse.query(
        "SELECT column_name, comment, data_type FROM duckdb_columns() "
        f"WHERE schema_name = 'marts' AND table_name = '{mart.name}' ORDER BY column_index"
    )
    assert {row["column_name"]: row["comment"] for row in columns} == {
        name: f"{meaning} ({unit})" for name, (unit, meaning) in mart.columns.items()
    }
    assert [row["column_name"] for row in columns] == list(mart.columns)
    allowed = {
        "seconds": "DOUBLE",
        "minutes": "DOUBLE",
        "hours": "DOUBLE",
        "count": "BIGINT",
        "flag": "BOOLEAN",
    }
    allowed |= {
        "UTC day": "DATE",
        "UTC time": "TIMESTAMP",
        "id": "VARCHAR",
        "text": "VARCHAR",
        "days": "BIGINT",
        "US dollars": "DECIMAL(18,6)",
    }
    for row in columns:
        unit = mart.columns[row["column_name"]][0]
        assert row["data_type"] == allowed.get(unit, row["data_type"]), row
    table = only(warehouse.query(f"SELECT comment FROM duckdb_tables() WHERE table_name = '{mart.name}'"))
    assert table["comment"] == mart.description
    assert mart.description[0].isupper()
    assert set(mart.grain) <= set(mart.columns)


@pytest.mark.parametrize("mart", MARTS.values(), ids=MARTS)
def test_what_a_mart_depends_on_is_read_from_its_sql(mart: Mart) -> None:
    assert set(mart.depends_on) <= {table.full_name for table in WAREHOUSE_FILE}
    facts = SESSIONS if mart.name != "live_audience" else "core.live_observations"
    assert facts in mart.depends_on


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1 AS day", "needs `-- grain"),
        ("-- grain: app_id\n-- column: app_id (id): app\nSELECT app_id FROM ops.days", "needs `-- grain"),
        ("-- grain: day\n-- column: day (day): d\nSELECT day FROM raw.days", "reads from raw:"),
        ("-- grain: day\n-- column: day (day): d\nSELECT day FROM marts.daily_usage", "reads from marts.daily_usage:"),
        ("-- grain: day\n-- column: day (day): d\nSELECT day FROM marts.mine", "reads from marts.mine:"),
    ],
)
def test_a_file_that_is_no_mart_is_refused(tmp_path: Path, sql: str, message: str) -> None:
    path = tmp_path / "mine.sql"
    path.write_text(sql)
    with pytest.raises(LivehouseError, match=message):
        read_mart(path, {})


HEAD = "-- A mart.\n-- grain: day\n-- column: day (UTC day): day\n"


def write_marts(directory: Path, **queries: str) -> dict[str, Path]:
    paths = {name: directory / f"{name}.sql" for name in queries}
    for name, query in queries.items():
        paths[name].write_text(HEAD + query)
    return paths


def test_marts_are_built_after_those_they_read_whatever_their_names(tmp_path: Path) -> None:
    paths = write_marts(
        tmp_path,
        a="SELECT day FROM marts.c",
        b="SELECT day FROM ops.days",
        c="SELECT day FROM marts.b",
        d="SELECT day FROM ops.days",
    )
    marts = {mart.name: mart for mart in order_marts(paths)}
    names = list(marts)
    assert names.index("b") < names.index("c") < names.index("a")
    assert [mart.name for mart in marts["a"].builds_on] == ["c"]
    assert marts["a"].depends_on == ("ops.days",)


def test_marts_that_read_each_other_are_refused(tmp_path: Path) -> None:
    paths = write_marts(tmp_path, a="SELECT day FROM marts.b", b="SELECT day FROM marts.a")
    with pytest.raises(LivehouseError, match="read each other in a circle: "):
        order_marts(paths)


def test_a_mart_cannot_build_on_one_whose_rows_decide_which_days_it_affects(tmp_path: Path) -> None:
    paths = write_marts(tmp_path, a="SELECT day FROM ops.days", b="SELECT day FROM marts.a")
    paths["a"].write_text("-- affects: day, last_day_reached\n" + paths["a"].read_text())
    with pytest.raises(LivehouseError, match=r"marts\.a \(it affects days by its rows\)"):
        order_marts(paths)


def test_a_changed_macro_changes_the_hash_of_the_marts_that_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: mart.sql_hash for name, mart in MARTS.items()}
    changed = {name: text.replace("'inf'", "'nan'") for name, text in macros.find_macros().items()}
    monkeypatch.setattr(macros, "find_macros", lambda: changed)
    caches = (macros.macros_used, find_marts)
    for cached in caches:
        cached.cache_clear()
    after = {mart.name: mart.sql_hash for mart in find_marts()}
    for cached in caches:
        cached.cache_clear()
    assert {name for name in before if before[name] == after[name]} == {"session_reliability"}


@pytest.mark.parametrize("name", macros.find_macros())
def test_every_macro_is_used_and_creates_those_it_uses(name: str) -> None:
    report = Path(figures.__file__).parent / "queries"
    queries = [mart.sql for mart in MARTS.values()] + [path.read_text() for path in report.glob("*.sql")]
    assert any(macros.find_macros()[name] in macros.macros_used(sql) for sql in queries)
    with duckdb.connect() as connection:
        macros.create_macros(connection, f"SELECT {name}(")
