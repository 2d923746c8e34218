"""The cost of Dagster's bookkeeping for a year in one run: its SQLite event log as it is, and written in batches.

The steps do nothing; assets and partitions are those of the real graph. `python bench/bookkeeping.py`
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

import dagster as dg

from pipelines.cli.history import DAGSTER_YAML

ASSETS, DAYS, ROUNDS = 7, 365, 3
PARTITIONS = dg.DailyPartitionsDefinition("2025-01-01", timezone="UTC")
TAGS = {"dagster/asset_partition_range_start": "2025-01-01", "dagster/asset_partition_range_end": "2025-12-31"}


def _asset(number: int) -> dg.AssetsDefinition:
    @dg.asset(name=f"table_{number}", partitions_def=PARTITIONS, backfill_policy=dg.BackfillPolicy.single_run())
    def nothing() -> None:
        """Make nothing."""

    return nothing


def seconds(config: str, batch_size: str) -> float:
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "dagster.yaml").write_text(config)
        os.environ.update(DAGSTER_HOME=home, DAGSTER_EVENT_BATCH_SIZE=batch_size)
        job = dg.Definitions(
            assets=[_asset(number) for number in range(ASSETS)],
            jobs=[dg.define_asset_job("all")],
            executor=dg.in_process_executor,
        ).resolve_job_def("all")
        with dg.DagsterInstance.get() as instance:
            started = time.perf_counter()
            quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
            assert job.execute_in_process(instance=instance, tags=TAGS, run_config=quiet).success
            taken = time.perf_counter() - started
            held = instance.get_materialized_partitions(dg.AssetKey("table_0"))
            assert len(held) == DAYS
            return taken


if __name__ == "__main__":
    plain = [seconds("telemetry:\n  enabled: false\n", "0") for _ in range(ROUNDS)]
    batched = [seconds(DAGSTER_YAML, "1000") for _ in range(ROUNDS)]
    print(f"{ASSETS} assets, {DAYS} days, median of {ROUNDS}: as it comes {statistics.median(plain):.1f} s,", end=" ")
    print(
        f"batched {statistics.median(batched):.1f} s, ratio {statistics.median(plain) / statistics.median(batched):.1f}"
    )
