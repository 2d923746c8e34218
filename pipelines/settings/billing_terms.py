"""Read the files that LIVEHOUSE_ALLOWANCES and LIVEHOUSE_CUSTOMERS name.

Allowances (TOML), in minutes a month; `overage_rate`, in US dollars for each minute beyond, may be left out:

    [apps.APP]
    viewer_minutes = {included = 600_000, overage_rate = 0.001}

    [customers."NAME"]
    ingest_minutes = {included = 3_000}

Customers (CSV): a header with `customer` and `livestream_id`, `meeting_id` or both; each row names one of these.
"""

import csv
import io
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.catalog.cost import UNASSIGNED
from pipelines.errors import SettingsError
from pipelines.settings.settings import Settings, variable_of
from pipelines.settings.values import ID_PATTERN

_ID_COLUMNS = {"livestream_id": "livestream", "meeting_id": "meeting"}
_HEADER = "a header with customer and livestream_id, meeting_id or both, separated by commas"
_MEASURES = "viewer_minutes or ingest_minutes; for an app also meeting_minutes or recording_minutes"
_MAX_FILE_BYTES = 64 * 2**20
_INCLUDED = "a number of minutes, 0 to 1e12"
_OVERAGE_RATE = "a number of US dollars per minute, 0 to 1000"


class Allowance(BaseModel):
    """The minutes included in a month, and the price of each minute beyond them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    included: Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
    overage_rate: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] | None = None


class _CustomerAllowances(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    viewer_minutes: Allowance | None = None
    ingest_minutes: Allowance | None = None


class AppAllowances(_CustomerAllowances):
    """The allowances that an app may have."""

    meeting_minutes: Allowance | None = None
    recording_minutes: Allowance | None = None


class _AllowancesFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    apps: dict[str, AppAllowances] = Field(default_factory=dict)
    customers: dict[str, _CustomerAllowances] = Field(default_factory=dict)


@dataclass(frozen=True)
class BillingTerms:
    """The content of both files, as rows of `ops.allowances` and `ops.customers`."""

    allowances: tuple[tuple[str, str, str, float, float | None], ...] = ()
    customers: tuple[tuple[str, str, str], ...] = ()

    def check_apps(self, settings: Settings, loaded: set[str]) -> None:
        """Raise `SettingsError` for an app that is neither in REALTIMEKIT_APP_ID nor has `loaded` days."""
        known = {*settings.app_ids, *loaded}
        places = [(variable_of("audio_apps"), app_id, app_id) for app_id in settings.audio_apps]
        file = _name_file(settings, "allowances_path")
        places += [(file, f"apps.{holder}", holder) for kind, holder, *_ in self.allowances if kind == "app"]
        for where, name, app_id in places:
            if app_id not in known:
                raise SettingsError(
                    f"{where}: {name} is no app in REALTIMEKIT_APP_ID, nor one with loaded days: correct or remove it"
                )


def read_billing_terms(settings: Settings) -> BillingTerms:
    """Read both files. Raises `SettingsError` with one line that names the file, the place and the accepted form."""
    customers = tuple(_read_customers(settings))
    allowances = tuple(_read_allowances(settings))
    names = {customer for _, _, customer in customers}
    for holder_type, holder, *_ in allowances:
        if holder_type == "customer" and holder not in names:
            raise SettingsError(
                f"{_name_file(settings, 'allowances_path')}: customers.{holder} is no customer in"
                f" {variable_of('customers_path')}: correct the name, or assign a livestream to it there"
            )
    return BillingTerms(allowances, customers)


def _name_file(settings: Settings, field: str) -> str:
    return f"{variable_of(field)} ({getattr(settings, field)})"


def _read_text(settings: Settings, field: str) -> str | None:
    path: Path | None = getattr(settings, field)
    if path is None:
        return None
    try:
        if not path.is_file() and path.exists():  # reading a pipe or a device may never end
            raise SettingsError(f"{_name_file(settings, field)} is not a file")
        if path.is_file() and path.stat().st_size > _MAX_FILE_BYTES:
            raise SettingsError(f"{_name_file(settings, field)} is larger than {_MAX_FILE_BYTES >> 20} MiB")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{_name_file(settings, field)} is not UTF-8 text: save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{_name_file(settings, field)} cannot be read: {error.strerror}") from None


def _read_allowances(settings: Settings) -> Iterator[tuple[str, str, str, float, float | None]]:
    text = _read_text(settings, "allowances_path")
    if text is None:
        return
    file = _name_file(settings, "allowances_path")
    try:
        content = _AllowancesFile.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{file} is not TOML: {error}; see the example in docs/how-to/statement.md") from None
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        raise SettingsError(f"{file}: {_describe_fault(tuple(map(str, fault['loc'])), fault['type'])}") from None
    for holder_type, holders in (("app", content.apps), ("customer", content.customers)):
        for holder, allowances in sorted(holders.items()):
            for measure, allowance in allowances:
                if allowance is not None:
                    yield holder_type, holder, measure, allowance.included, allowance.overage_rate


def _describe_fault(place: tuple[str, ...], kind: str) -> str:
    """Return what is wrong at a place of the file, by its depth: group, holder, measure, key."""
    name = ".".join(place)
    if kind == "missing":
        return f"{name} is missing: it takes {_INCLUDED}"
    accepted = {
        1: "the tables are [apps.APP] and [customers.NAME]",
        2: "it takes a table of allowances",
        3: f"it takes {_MEASURES}"
        if kind == "extra_forbidden"
        else "it takes {included = MINUTES, overage_rate = DOLLARS}",
    }
    if len(place) in accepted:
        return f"{name} is {'unknown' if kind == 'extra_forbidden' else 'malformed'}: {accepted[len(place)]}"
    if kind == "extra_forbidden":
        return f"{name} is unknown: an allowance takes included and overage_rate"
    return f"{name} is malformed: it takes {_INCLUDED if place[-1] == 'included' else _OVERAGE_RATE}"


def _read_customers(settings: Settings) -> Iterator[tuple[str, str, str]]:
    text = _read_text(settings, "customers_path")
    if text is None:
        return
    file = _name_file(settings, "customers_path")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    seen: dict[tuple[str, str], tuple[str, int]] = {}
    try:
        columns = [name.strip() for name in next(reader, [])]
        if len(set(columns)) < max(2, len(columns)) or not {"customer"} < set(columns) <= {"customer", *_ID_COLUMNS}:
            raise SettingsError(f"{file}: the first line must be {_HEADER}")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{file}, line {reader.line_num}"
            if len(cells) != len(columns):
                raise SettingsError(f"{where} has {len(cells)} cells: the header has {len(columns)}")
            row = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
            customer = row.pop("customer")
            given = [(_ID_COLUMNS[name], record_id) for name, record_id in row.items() if record_id]
            if len(given) != 1 or not ID_PATTERN.fullmatch(given[0][1]):
                raise SettingsError(f"{where}: give one identifier of a livestream or a meeting")
            if not ID_PATTERN.fullmatch(customer) or customer.lower() == UNASSIGNED:
                raise SettingsError(
                    f"{where}: a customer is 1 to 256 characters, none of them a control character, and not {UNASSIGNED}"
                )
            if given[0] in seen:
                other, line = seen[given[0]]
                what = "repeats" if other == customer else "names another customer than"
                raise SettingsError(f"{where} {what} line {line} for the same {given[0][0]}: keep one of them")
            seen[given[0]] = customer, reader.line_num
            yield *given[0], customer
    except csv.Error as error:
        raise SettingsError(f"{file}, line {reader.line_num}, is not CSV: {error}") from None
