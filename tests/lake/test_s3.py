"""A lakehouse whose files lie in S3: a server on this machine, credentials where DuckDB looks for them by itself."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from pipelines.simulator.server import Simulator
from pipelines.steps.move import move
from pipelines.storage.extensions import connect_with_extensions, find_extension
from tests.pipeline_runner import FIRST, LAST, assert_matches_world, query, run_pipeline, settings_for
from tests.promises.fault_runner import run_cli_process
from tests.promises.world_factory import change_everything, tiny_world

SECRET = "s3-hush-hush-7"
PLACE = "s3://bucket/two words"
COUNTED = "SELECT count(*) FROM core.livestream_sessions"


def kept(bucket: str) -> list[str]:
    """The names of all objects."""
    with urlopen(f"{bucket}?list-type=2") as listed:
        return re.findall("<Key>([^<]*)</Key>", listed.read().decode())


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with one empty bucket, which DuckDB is let into by a secret of its own."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urlopen(Request(f"http://{host}:{port}/bucket", method="PUT")).close()
    monkeypatch.setenv("HOME", str(tmp_path / "people"))
    with connect_with_extensions([find_extension("httpfs")]) as connection:
        connection.execute(
            f"CREATE PERSISTENT SECRET livehouse_files (TYPE s3, KEY_ID 'livehouse', SECRET '{SECRET}',"
            f" ENDPOINT '{host}:{port}', URL_STYLE 'path', USE_SSL false, SCOPE 's3://')"
        )
    yield f"http://{host}:{port}/bucket"
    server.stop()


@pytest.mark.long
@pytest.mark.timeout(900)  # each commit takes dozens of requests to moto: 290 s were not enough on a busy machine
def test_files_in_s3_are_as_good_as_on_a_disk(lake: str, bucket: str, tmp_path: Path) -> None:
    world = tiny_world()
    at = {"LIVEHOUSE_WAREHOUSE": lake, "LIVEHOUSE_DATA_PATH": PLACE}
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path / "home", **at)
        ran = run_cli_process(simulator, settings.home, "backfill", f"{FIRST}", f"{LAST}", "--json", **at)
        assert ran.returncode == 0, ran.stderr
        assert_matches_world(settings, world)
        assert any(".parquet" in name for name in kept(bucket))
        change_everything(world)
        run_pipeline(settings, run_id="the night after")
        assert_matches_world(settings, world)
        outputs = [
            run_cli_process(simulator, settings.home, *command, **at)
            for command in (
                ("doctor",),
                ("sql", "SELECT sum(sessions)::INT AS sessions FROM marts.daily_usage", "--format", "csv"),
                ("report",),
                ("upkeep", "--keep-days", "0"),
            )
        ]
        assert [done.returncode for done in outputs] == [0] * 4, outputs
        assert outputs[1].stdout.split() == ["sessions", str(query(settings, COUNTED)[0][0])]
        assert Path(outputs[2].stdout.strip()).stat().st_size > 100_000
        assert_matches_world(settings, world)
        back = settings_for(simulator, tmp_path / "back")
        move(settings, back)
        assert_matches_world(back, world)
    shown = "".join(done.stdout + done.stderr for done in (ran, *outputs))
    written = [file for file in tmp_path.rglob("*") if file.is_file() and "people" not in file.parts]
    assert SECRET not in shown
    assert [file for file in written if SECRET.encode() in file.read_bytes()] == []


@pytest.mark.long
def test_an_unreachable_bucket_is_reported_before_any_request(lake: str, bucket: str, tmp_path: Path) -> None:
    at = {"LIVEHOUSE_WAREHOUSE": lake, "LIVEHOUSE_DATA_PATH": "s3://bucket-of-nobody/lake"}
    with Simulator(tiny_world()) as simulator:
        ran = run_cli_process(simulator, tmp_path / "home", "backfill", f"{FIRST}", f"{LAST}", "--quiet", **at)
        assert simulator.request_count() == 0
        examined = run_cli_process(simulator, tmp_path / "home", "doctor", **at)
    assert ran.returncode == examined.returncode == 1
    for outputs in (ran.stderr, examined.stdout):
        assert "bucket-of-nobody" in outputs
        assert "the location of the files" in outputs
        assert SECRET not in outputs


@pytest.mark.long
@pytest.mark.timeout(300)
def test_an_export_to_s3_replaces_its_files(bucket: str, tmp_path: Path) -> None:
    with Simulator(tiny_world()) as simulator:
        settings = settings_for(simulator, tmp_path / "home")
        run_pipeline(settings)
        target = "s3://bucket/exports of mine"
        for arguments in ((), ("--since", f"{LAST}")):
            done = run_cli_process(
                simulator, settings.home, "export", target, "--tables", "core.livestream_sessions", *arguments
            )
            assert (done.returncode, done.stdout.strip()) == (0, target), done.stderr
            assert SECRET not in done.stdout + done.stderr
            first = FIRST if not arguments else LAST
            with connect_with_extensions([find_extension("httpfs")]) as connection:
                read = f"read_parquet('{target}/core/livestream_sessions/*/*/*.parquet', hive_types = {{'app_id': VARCHAR, 'day': DATE}})"
                found = connection.execute(f"SELECT app_id, day, session_id FROM {read} ORDER BY ALL").fetchall()
            wanted = "SELECT app_id, day, session_id FROM core.livestream_sessions WHERE day >= ? ORDER BY ALL"
            assert found == query(settings, wanted, first)
        assert [name for name in kept(bucket) if name.endswith("export.json")] == ["exports of mine/export.json"]
        for others in (
            ("--tables", "core.livestreams"),
            ("--tables", "core.livestream_sessions", "--format", "csv"),
        ):
            done = run_cli_process(simulator, settings.home, "export", target, *others)
            assert done.returncode == 0, done.stderr
        with connect_with_extensions([find_extension("httpfs")]) as connection:
            assert connection.execute(f"SELECT count(*) FROM {read}").fetchall() == [(0,)], "emptied, and still Parquet"
            listed = connection.execute(
                f"SELECT DISTINCT table_name FROM '{target}/export.json' ORDER BY ALL"
            ).fetchall()
            assert listed == [("core.livestream_sessions",), ("core.livestreams",)]
