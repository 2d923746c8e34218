"""No record is lost, and no figure once landed, whatever records arrive."""

import random
from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.catalog.core import LIVESTREAM_SESSIONS
from pipelines.normalize.record import encode
from tests.normalize.test_daily_rows import OLDEST, ZEROS, overall
from tests.normalize.test_rows import A_DAY, FIGURES, HOUR, NOW, SESSION, balanced, raw_of

UGLY: list[Any] = [
    None, "", "null", " 531.0 ", "1e3", -1, "NaN", True, [], {}, "text", "2025-03-10T10:00:00Z", 1741600000,
    "9999-12-31T00:00:00Z", 2**63 - 1, "9223372036854775808", 1e300, "x" * 300, "a\x00b", "\u202egnp", 0, 4.5,
]  # fmt: skip
ids = st.sampled_from(["a", "b", "c", 5, "5"]) | st.sampled_from(UGLY)
records = (
    st.fixed_dictionaries({}, optional={name: st.sampled_from(UGLY) for name in SESSION} | {"id": ids, "new": ids})
    .map(lambda changed: SESSION | changed)
    | st.sampled_from(UGLY)
    | st.fixed_dictionaries({"id": ids})
)  # fmt: skip


@pytest.mark.long
@settings(deadline=None, max_examples=6)
@given(st.lists(st.tuples(records, st.integers(0, 5)), max_size=40))
def test_received_is_landed_and_quarantined_and_duplicates(received: list[tuple[Any, int]]) -> None:
    raw = raw_of(*[(record, NOW + hours * HOUR) for record, hours in received])
    raw = raw.unique(["session_id", "payload"], keep="last", maintain_order=True)  # as raw keeps them
    made = balanced(LIVESTREAM_SESSIONS, raw)
    landed, rejected = set(made.rows["session_id"]), made.rejects
    # no record is in neither, and none without a name is in fewer places than it has versions
    assert set(raw["session_id"].drop_nulls()) == landed | set(rejected["record_id"].drop_nulls())
    assert set(rejected.filter(pl.col("record_id").is_null())["payload"]) == set(
        raw.filter(pl.col("session_id").is_null())["payload"]
    )
    assert set(rejected["payload"]) <= {encode(record) for record, _ in received}
    # taken apart by the day, it is the same
    days = [*raw["day"].unique().to_list()]
    parts = [balanced(LIVESTREAM_SESSIONS, raw, days=half) for half in (days[::2], days[1::2])]
    assert sum(part.received for part in parts) == made.received
    assert sorted(id_ for part in parts for id_ in part.rows["session_id"]) == sorted(landed)


@pytest.mark.long
@settings(deadline=None, max_examples=10)
@given(
    st.lists(
        st.tuples(st.sampled_from([FIGURES, ZEROS, None, {}, 5, *UGLY]), st.integers(0, 9)), min_size=1, max_size=8
    )
)
def test_figures_once_landed_never_become_nothing(received: list[tuple[Any, int]]) -> None:
    best = 0.0
    versions: list[tuple[Any, datetime]] = []
    for record, hours in sorted(received, key=lambda item: item[1]):
        versions.append((record, NOW + hours * HOUR))
        rows = overall(*versions, day=OLDEST - A_DAY).rows
        held = max([row["ingest_seconds"] or 0 for row in rows.to_dicts()], default=0)
        assert held > 0 or best == 0
        best = max(best, held)


@pytest.mark.long
def test_a_hundred_thousand_records_are_conserved() -> None:
    choose = random.Random(2025)  # seeded: the same records every time
    received = []
    for number in range(100_000):
        record: Any = SESSION | {"id": f"s{choose.randrange(40_000)}"}
        for name in choose.sample(sorted(SESSION), choose.randrange(3)):
            record[name] = choose.choice(UGLY)
        received.append((choose.choice(UGLY) if number % 97 == 0 else record, NOW + choose.randrange(100) * HOUR))
    raw = raw_of(*received).unique(["session_id", "payload"], keep="last", maintain_order=True)
    made = balanced(LIVESTREAM_SESSIONS, raw)
    assert made.rows.height > 20_000
    assert made.rejects.height > 1_000
    assert set(raw["session_id"].drop_nulls()) == set(made.rows["session_id"]) | set(
        made.rejects["record_id"].drop_nulls()
    )
    days: list[date | None] = raw["day"].unique().to_list()
    parts = [balanced(LIVESTREAM_SESSIONS, raw, days=half) for half in (days[::2], days[1::2])]
    assert sum(part.received for part in parts) == made.received
    assert sum(part.rows.height for part in parts) == made.rows.height
