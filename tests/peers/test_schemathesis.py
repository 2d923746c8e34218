"""schemathesis generates requests from the vendor's document: the simulator returns no 5xx and no undeclared deviation."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import Failure

from pipelines.simulator.dialects import TODAY
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from tests.fixed_clock import NOW
from tests.openapi_requests import DOCUMENT

APP, MEETING = "aula", "bbb87945-df1c-49d9-8159-262a7ae6cfde"
LARGEST_REPLY = 1_000_000


class Deviation(NamedTuple):
    """A failure that schemathesis may report, and its reason."""

    failure: str
    status: str
    message: str
    """Matches the report of schemathesis or the response."""
    why: str


DECLARED = (
    Deviation("UndefinedStatusCode", r"400|401|404|405|409|415", r"", "the document describes no refusals"),
    Deviation("UndefinedContentType", r"4..", r"", "same"),
    Deviation(
        "RejectedPositiveData", r"400", r"(page_no|per_page) must be a whole number from 1", "it gives no minimum"
    ),
    Deviation("RejectedPositiveData", r"400", r"a time between the years 1970 and 9999", "an int64 is not a time"),
    Deviation("RejectedPositiveData", r"400", r"(start|end)_date must be YYYY-MM-DD", "it calls a day a string"),
    Deviation(
        "AcceptedNegativeData", r"20.", r"query: violates `additionalProperties`", "unknown parameters are ignored"
    ),
    Deviation("AcceptedNegativeData", r"20.", r"header: violates", "the test's own token is sent instead"),
    Deviation("JsonSchemaError", r"20.", r"null is not of type", "bodies follow its examples, which have nulls"),
    Deviation("JsonSchemaError", r"20.", r"(?s)(true|false) is not of type.*/disabled", "same: a boolean"),
    Deviation(
        "JsonSchemaError", r"20.", r"(?s)is not of type \"object\".*/properties/data:", "same: a list of livestreams"
    ),
    Deviation(
        "JsonSchemaError", r"20.", r"(?s)is not of type.*/session/properties/(ingest|viewer)_seconds", "same: numbers"
    ),
    Deviation(
        "JsonSchemaError",
        r"20.",
        r"(?s)is not of type \"integer\".*/total_recording_minutes",
        "its example has fractions",
    ),
    Deviation(
        "JsonSchemaError",
        r"20.",
        r"(?s)is not of type \"integer\".*/data/properties/(ingest|viewer)_seconds",
        "seconds of a session have fractions, in captured bodies",
    ),
)


@pytest.fixture(scope="module")
def served() -> Iterator[Simulator]:
    world = World.seeded(
        7, apps=[APP], livestreams=12, days=60, now=NOW, values="numbers", rounding="nearest", broken=False
    )
    world.apps[APP].meetings.add(MEETING)
    with Simulator(world, dialect=TODAY, rate_limit=None) as simulator:
        yield simulator


@cache
def operations() -> dict[str, Any]:
    document = schemathesis.openapi.from_dict(json.loads(DOCUMENT.read_text("utf-8")))
    results: Any = document.get_all_operations()  # of a result type that is not exported
    return {operation.label: operation for operation in (result.ok() for result in results)}


def labels() -> list[str]:
    paths = json.loads(DOCUMENT.read_text("utf-8"))["paths"]
    return [f"{method.upper()} {path}" for path, item in paths.items() for method in item]


def existing(simulator: Simulator) -> dict[str, str]:
    """Return existing ids by path parameter."""
    livestream = next(row for row in simulator.world.apps[APP].livestreams if row.sessions)
    return {
        "account_id": simulator.account_id,
        "app_id": APP,
        "livestream_id": livestream.id,
        "livestream-session-id": livestream.sessions[0].id,
        "meeting_id": MEETING,
    }


@pytest.mark.undescribed_requests
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
@pytest.mark.parametrize(
    "label", labels(), ids=lambda label: re.sub(r".*realtime/kit/{app_id}", label.split()[0], label)
)
def test_no_5xx_and_no_undeclared_deviation(label: str, mode: GenerationMode, served: Simulator) -> None:
    undeclared: set[str] = set()
    cases = operations()[label].as_strategy(generation_mode=mode)

    @hypothesis.settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=cases, is_there=strategies.booleans())
    def send(case: "Case[Any]", is_there: bool) -> None:  # noqa: FBT001 - hypothesis gives it by name
        if is_there and case.path_parameters:
            case.path_parameters.update({name: existing(served)[name] for name in case.path_parameters})
        response = case.call(base_url=served.base_url, headers={"Authorization": f"Bearer {served.token}"})
        assert response.status_code < 500, response.text
        assert len(response.content) < LARGEST_REPLY
        try:
            case.validate_response(response)
        except (Failure, BaseExceptionGroup) as failed:
            for failure in failed.exceptions if isinstance(failed, BaseExceptionGroup) else [failed]:
                message = f"{failure} {response.text[:500]}"
                name = type(failure).__name__
                if not any(
                    name == known.failure
                    and re.fullmatch(known.status, f"{response.status_code}")
                    and re.search(known.message, message)
                    for known in DECLARED
                ):
                    undeclared.add(f"{name} {response.status_code}: {message[:600]}")

    send()
    assert not undeclared
