"""LIVEHOUSE_ALLOWANCES and LIVEHOUSE_CUSTOMERS: what they take, one line about the rest, and what a run makes of them."""

import os
from pathlib import Path

import pytest

from pipelines.errors import SettingsError
from pipelines.settings.billing_terms import read_billing_terms
from pipelines.settings.settings import Settings
from tests.night_runner import NIGHT, Serve
from tests.pipeline_runner import LoadedWarehouse, apply_settings, environment_for, query, settings_for
from tests.promises.fault_runner import run_cli

CUSTOMERS = "livestream_id,meeting_id,customer\nl1,,ACME\n,m1,Nord\n"
ALLOWANCE = "viewer_minutes = {included = 600_000, overage_rate = 0.001}\n"


def settings_with(directory: Path, allowances: bytes | str = "", customers: bytes | str = CUSTOMERS) -> Settings:
    given = {}
    for variable, name, content in (
        ("LIVEHOUSE_ALLOWANCES", "allowances.toml", allowances),
        ("LIVEHOUSE_CUSTOMERS", "customers.csv", customers),
    ):
        (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        given[variable] = str(directory / name)
    return Settings(REALTIMEKIT_APP_ID="one,two", **given)  # type: ignore[call-arg,arg-type]  # read by alias


def test_both_files_are_read(tmp_path: Path) -> None:
    text = f"[apps.one]\n{ALLOWANCE}recording_minutes = {{included = 0}}\n[apps.two]\n[customers.'ACME']\n{ALLOWANCE}"
    terms = read_billing_terms(settings_with(tmp_path, "\ufeff" + text, "\ufeff" + CUSTOMERS.replace("\n", "\r\n")))
    assert terms.allowances == (
        ("app", "one", "viewer_minutes", 600_000.0, 0.001),
        ("app", "one", "recording_minutes", 0.0, None),
        ("customer", "ACME", "viewer_minutes", 600_000.0, 0.001),
    )
    assert terms.customers == (("livestream", "l1", "ACME"), ("meeting", "m1", "Nord"))


@pytest.mark.parametrize("text", ["customer,livestream_id\n", 'customer , meeting_id\n"a, b", m1\n\n , '])
def test_other_columns_blank_lines_and_spaces(tmp_path: Path, text: str) -> None:
    terms = read_billing_terms(settings_with(tmp_path, customers=text))
    assert terms.customers in ((), (("meeting", "m1", "a, b"),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[apps.one", "is not TOML: "),
        ("a = " + "[" * 3000, "is not TOML: "),
        (b"[apps.\xff]", "is not UTF-8"),
        ("currency = 'EUR'", r": currency is unknown: the tables are \[apps.APP\] and \[customers.NAME\]"),
        ("apps = 3", r": apps is malformed: the tables are"),
        ("[apps]\none = 3", r": apps.one is malformed: it takes a table of allowances"),
        ("[apps.one]\nviewer_hours = 3", r": apps.one.viewer_hours is unknown: it takes viewer_minutes or"),
        ("[customers.ACME]\nrecording_minutes = {included = 1}", r": customers.ACME.recording_minutes is unknown: it"),
        ("[apps.one]\nviewer_minutes = 3", r"viewer_minutes is malformed: it takes {included = MINUTES"),
        ("[apps.one]\nviewer_minutes = {}", r"viewer_minutes.included is missing: it takes a number of minutes"),
        (
            "[apps.one]\nviewer_minutes = {included = 1, price = 1}",
            r"price is unknown: an allowance takes included and",
        ),
        *(
            (f"[apps.one]\nviewer_minutes = {{included = {value}}}", r"included is malformed: it takes a number of min")
            for value in ("-1", "nan", "inf", "true", "'60'", "1e13", "[1]")
        ),
        *(
            (f"[apps.one]\nviewer_minutes = {{included = 1, overage_rate = {value}}}", r"overage_rate is malformed: it")
            for value in ("-0.1", "nan", "-inf", "false", "'1'", "1001", "2026-10-01")
        ),
        (f"[customers.acme]\n{ALLOWANCE}", r": customers.acme is no customer in LIVEHOUSE_CUSTOMERS"),
    ],
)
def test_a_malformed_allowance_is_one_line(tmp_path: Path, text: bytes | str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as raised:
        read_billing_terms(settings_with(tmp_path, text))
    assert str(raised.value).startswith(f"LIVEHOUSE_ALLOWANCES ({tmp_path}/allowances.toml)")
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": the first line must be a header"),
        ("livestream_id;customer\nl1;ACME", ": the first line must be a header"),
        ("livestream_id,customer,price\n", ": the first line must be a header"),
        ("livestream_id,livestream_id,customer\n", ": the first line must be a header"),
        ("customer\nACME\n", ": the first line must be a header"),
        ("livestream_id,meeting_id\nl1,m1\n", ": the first line must be a header"),
        ("livestream_id,customer\nl1,ACME\nl1,Nord\n", ", line 3 names another customer than line 2 for the same live"),
        ("meeting_id,customer\nm1,ACME\nm1,ACME\n", ", line 3 repeats line 2 for the same meeting"),
        ("livestream_id,customer\nl1,ACME,1\n", ", line 2 has 3 cells: the header has 2"),
        ("livestream_id,customer\nl1\n", ", line 2 has 1 cells: the header has 2"),
        ("livestream_id,customer\n,ACME\n", ", line 2: give one identifier"),
        ("livestream_id,meeting_id,customer\nl1,m1,ACME\n", ", line 2: give one identifier"),
        ("livestream_id,customer\n" + "x" * 257 + ",ACME\n", ", line 2: give one identifier"),
        ("livestream_id,customer\nl1,\n", ", line 2: a customer is 1 to 256 characters"),
        ("livestream_id,customer\nl1,Unassigned\n", ", line 2: a customer is .* not unassigned"),
        ('livestream_id,customer\nl1,"A\tB"\n', ", line 2: a customer is"),
        ('livestream_id,customer\nl1,"ACME\n', ", line 2, is not CSV: "),
        ("livestream_id,customer\nl1," + "x" * 200_000, ", line 2, is not CSV: "),
        ("livestream_id,customer\nl1,Süd\n".encode("latin-1"), " is not UTF-8"),
        ("livestream_id,customer\nl1,ACME\n".encode("utf-16"), " is not UTF-8"),
    ],
)
def test_a_malformed_customer_file_is_one_line(tmp_path: Path, text: bytes | str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as raised:
        read_billing_terms(settings_with(tmp_path, customers=text))
    assert str(raised.value).startswith(f"LIVEHOUSE_CUSTOMERS ({tmp_path}/customers.csv)")
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("variable", ["LIVEHOUSE_ALLOWANCES", "LIVEHOUSE_CUSTOMERS"])
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing", "cannot be read: No such file"),
        (".", "is not a file"),
        ("pipe", "is not a file"),
        ("huge", "is larger than 64 MiB"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, variable: str, name: str, problem: str) -> None:
    """Seen: a run waited for ever for the other end of a pipe."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 65 * 2**20)
    with pytest.raises(SettingsError, match=rf"^{variable} \(.*\) {problem}"):
        read_billing_terms(Settings(**{variable: str(tmp_path / name)}))  # type: ignore[arg-type]  # read by alias


def test_a_run_is_refused_before_any_request(serve: Serve, tmp_path: Path) -> None:
    nights = serve(1)
    path = tmp_path / "allowances.toml"
    path.write_text("[apps.aula]\nviewer_minutes = {included = -1}")
    given = environment_for(nights.simulator, nights.settings.home, LIVEHOUSE_ALLOWANCES=str(path))
    status, out, err = run_cli(given, "nightly", "--quiet", "--date", f"{NIGHT[1]}")
    assert (status, out) == (2, "")
    assert err.startswith(f"livehouse: LIVEHOUSE_ALLOWANCES ({path}): apps.aula.viewer_minutes.included is malformed")
    assert err.count("\n") == 1
    assert "apps.aula.viewer_minutes.included" in run_cli(given, "doctor")[1]
    nights.settings = settings_for(nights.simulator, nights.settings.home, LIVEHOUSE_ALLOWANCES=str(path))
    path.write_text("[apps.other]\n" + ALLOWANCE)
    with pytest.raises(SettingsError, match=r": apps.other is no app in REALTIMEKIT_APP_ID, nor one with loaded days"):
        nights.load()
    nights.settings = settings_for(nights.simulator, nights.settings.home, LIVEHOUSE_AUDIO_APPS="aula,radio")
    with pytest.raises(SettingsError, match=r"^LIVEHOUSE_AUDIO_APPS: radio is no app in REALTIMEKIT_APP_ID"):
        nights.load()
    assert nights.simulator.requests == []


@pytest.mark.long
def test_terms_are_written_when_they_change_and_only_then(loaded: LoadedWarehouse, tmp_path: Path) -> None:
    stream = loaded.simulator.world.apps["aula"].livestreams[0].id
    builds = "SELECT built_at FROM ops.mart_builds WHERE mart_name = 'marts.monthly_cost'"
    costs = "SELECT customer, export_rate, media FROM marts.monthly_cost WHERE app_id = 'aula' ORDER BY customer"
    shown = []
    for number, (customer, variables) in enumerate(
        [("A", {}), ("A", {}), ("B", {}), ("B", {"LIVEHOUSE_AUDIO_APPS": "aula"}), ("B", {})]
    ):
        (tmp_path / "c.csv").write_text(f"livestream_id,customer\n{stream},{customer}\n")
        given = {"LIVEHOUSE_CUSTOMERS": str(tmp_path / "c.csv")} | variables if number < 4 else {}
        settings = settings_for(loaded.simulator, loaded.settings.home, **given)
        apply_settings(settings)
        shown.append((query(settings, builds), query(settings, costs)))
    built, answers = zip(*shown, strict=True)
    assert built[0] == built[1], "nothing changed"
    assert len(set(map(str, built))) == 4
    assert answers[1] == [("A", 0.010, "video"), ("unassigned", 0.010, "video")]
    assert answers[2] == [("B", 0.010, "video"), ("unassigned", 0.010, "video")]
    assert answers[3] == [("B", 0.003, "audio"), ("unassigned", 0.003, "audio")]
    assert answers[4] == [("unassigned", 0.010, "video")], "without the setting there are no customers"
