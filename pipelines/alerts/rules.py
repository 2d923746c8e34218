"""Alert rules: the default set in `sql/alerts/default.toml`, and a file of the user's that adds, changes or disables rules by name.

A malformed rule is a fault of one line, and the other rules apply. A file that cannot be read at all is a fault, and no rule
applies: the defaults alone could alert on what the file disables.
"""

import re
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from pipelines.alerts.metrics import FRESHNESS, METRICS
from pipelines.marts.sql_files import sql_directory

_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_MAX_FILE_BYTES = 1_000_000
RULES_CHECK = "alert_rules"
"""The name of the check about the rules themselves, which no rule may have."""
_METRIC_KEYS = ("window_days", "median_of_weekdays", "minimum_sessions", "minimum_median")


class Rule(BaseModel):
    """One rule: a SQL condition, or a metric with a threshold. The descriptions state the accepted form of each key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    why: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)] = Field(
        description="a text of at most 500 characters"
    )
    enabled: bool = Field(default=True, description="true or false")
    sql: Annotated[str, StringConstraints(min_length=1, max_length=20_000)] | None = Field(
        default=None, description="a query as text"
    )
    metric: str | None = Field(default=None, description=f"one of {', '.join(METRICS)}")
    above: float | None = Field(default=None, allow_inf_nan=False, description="a number")
    below: float | None = Field(default=None, allow_inf_nan=False, description="a number")
    window_days: int = Field(default=1, ge=1, le=31, description="a whole number of days, 1 to 31")
    median_of_weekdays: int | None = Field(default=None, ge=1, le=12, description="a whole number of weeks, 1 to 12")
    minimum_sessions: int = Field(default=0, ge=0, description="a whole number, 0 or more")
    minimum_median: float = Field(default=0, ge=0, allow_inf_nan=False, description="a number, 0 or more")

    @property
    def limit(self) -> float | None:
        """The number of `above` or `below`; None for a query without either."""
        return self.above if self.below is None else self.below

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        given = [key for key in _METRIC_KEYS if key in self.model_fields_set]
        if (self.sql is None) == (self.metric is None):
            raise ValueError("takes either sql or metric")
        if self.sql is not None:
            if given:
                raise ValueError(f"{given[0]} goes with a metric, not with sql")
            if self.above is not None and self.below is not None:
                raise ValueError("sql takes above, below, or neither")
            return self
        if self.metric not in METRICS:
            raise ValueError(f"metric must be {Rule.model_fields['metric'].description}")
        if (self.above is None) == (self.below is None):
            raise ValueError("a metric takes either above or below")
        if self.metric == FRESHNESS and (given or self.above is None):
            raise ValueError(f"metric {FRESHNESS} takes above, and no other key")
        if self.minimum_median and self.median_of_weekdays is None:
            raise ValueError("minimum_median goes with median_of_weekdays")
        return self


@dataclass(frozen=True)
class RuleSet:
    """The rules that apply, and one line for each fault of the file. `names` includes rules that a fault keeps from applying."""

    file: Path
    rules: tuple[Rule, ...]
    faults: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    recent_days: int = 7
    """Only violations on days of this many last days open an incident."""
    is_readable: bool = True
    """Whether the file could be read: if not, nothing is known of its rules, and no incident may change."""

    def describe_fault(self, rule: Rule, error: Exception) -> str:
        """Return one line about a rule that cannot be evaluated."""
        return f"{self.file}: rule {rule.name}: {error}"


def default_rules_file() -> Path:
    """Return the file with the default rules."""
    return sql_directory() / "alerts" / "default.toml"


def load_rules(own: Path | None) -> RuleSet:
    """Return the default rules with the changes of the user's file, LIVEHOUSE_ALERTS."""
    default = tomllib.loads(default_rules_file().read_text(encoding="utf-8"))["rules"]
    if own is None:
        return _build(default_rules_file(), default, {}, {})
    try:
        content = _read(own)
    except ValueError as error:
        return RuleSet(own, (), (f"LIVEHOUSE_ALERTS: {own}: {error}",), is_readable=False)
    return _build(own, default, content.pop("rules", {}), content)


def _read(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():
            raise ValueError("is not a file" if path.exists() else "there is no such file")
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ValueError("is larger than 1 MB")
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"is not TOML: {error}") from None


def _build(path: Path, default: dict[str, Any], own: object, others: dict[str, Any]) -> RuleSet:
    """Merge the user's rules into the default ones, and validate each."""
    faults = []
    recent_days = others.pop("recent_days", RuleSet.recent_days)
    if type(recent_days) is not int or not 1 <= recent_days <= 31:  # noqa: PLR2004 - as the message states
        faults.append(f"{path}: recent_days must be a whole number of days, 1 to 31")
        recent_days = RuleSet.recent_days
    faults += [f"{path}: unknown key {key!r}: the file takes recent_days and [rules.NAME]" for key in others]
    if not isinstance(own, dict):
        return RuleSet(path, (), (f"{path}: rules must be tables, [rules.NAME]",), is_readable=False)
    rules = []
    for name in default | own:
        try:
            rules.append(_parse_rule(name, default.get(name, {}), own.get(name, {})))
        except ValueError as error:
            faults.append(f"{path}: rule {name}: {error}")
    return RuleSet(
        path,
        tuple(rule for rule in rules if rule.enabled),
        tuple(faults),
        frozenset(default | own) - {rule.name for rule in rules if not rule.enabled},
        recent_days,
    )


def _parse_rule(name: str, default: dict[str, Any], own: object) -> Rule:
    """Return a rule. The user's keys replace those of the default rule of that name; with sql or metric, all of them.

    Raises `ValueError` with the key and its accepted form.
    """
    if name == RULES_CHECK:
        raise ValueError("the name is taken by the check of the rules themselves")
    if not _NAME.fullmatch(name):
        raise ValueError(
            "a name has lower-case letters, digits and underscores, begins with a letter, at most 60 characters"
        )
    if not isinstance(own, dict):
        raise ValueError(f"must be a table, [rules.{name}]")  # noqa: TRY004 - a fault of the file, as the others
    for key in own:
        if key not in Rule.model_fields or key == "name":
            known = [field for field in Rule.model_fields if field != "name"]
            close = get_close_matches(key, known, 1)
            remedy = f"did you mean {close[0]}?" if close else f"a rule takes {', '.join(known)}"
            raise ValueError(f"unknown key {key!r}: {remedy}")
    kept = {} if {"sql", "metric"} & own.keys() else default
    if {"above", "below"} & own.keys():
        kept = {key: value for key, value in kept.items() if key not in {"above", "below"}}
    if "why" not in own and "why" in default:
        kept = {"why": default["why"], **kept}
    try:
        return Rule(name=name, **(kept | own))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        if not fault["loc"]:
            raise ValueError(str(fault["ctx"]["error"])) from None
        key = str(fault["loc"][0])
        raise ValueError(f"{key} must be {Rule.model_fields[key].description}") from None
