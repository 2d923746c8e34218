"""Headers that limit requests: spans, times, variants, and malformed ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.extract.ratelimit import MAX_WINDOW_SECONDS, parse_ratelimit, parse_retry_after

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", None),
        ("7", 7.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("1.5", 1.5),
        (" 7 ", 7.0),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2023 22:13:30 -0000", 10.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),
        ("1700000045", 45.0),  # a Unix time, as in `reset`
        ("1700000045000", 45.0),
        ("1699999999", 0.0),
        ("3600", 3600.0),
        ("99999999999", None),
        ("1e308", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("9" * 400, None),
        ("Fri, 31 Feb 2023 22:13:30 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 -0000", 0.0),
        ("\x80\xff", None),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert parse_retry_after({"retry-after": header}, NOW) == seconds


def test_times_are_relative_to_the_date_of_the_reply() -> None:
    date = "Tue, 14 Nov 2023 22:13:20 GMT"
    for headers in ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, {"retry-after": "1700000030"}):
        assert parse_retry_after(headers | {"date": date}, NOW + 5_000) == 30.0
    assert parse_ratelimit({"ratelimit": "r=0;t=1700000030", "date": date}, NOW - 5_000) == (0, 30.0)


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        ({"ratelimit": '"default";r=50;t=30'}, (50, 30.0)),
        ({"ratelimit": '"default"; r=0; t=30.5'}, (0, 30.5)),
        ({"ratelimit": "limit=100, remaining=0, reset=30"}, (0, 30.0)),
        ({"ratelimit": "limit=100,remaining=7,reset=30"}, (7, 30.0)),
        ({"ratelimit": "limit=100, remaining=0, reset=1700000045"}, (0, 45.0)),  # Unix time
        ({"ratelimit": "limit=100, remaining=0, reset=1700000045000"}, (0, 45.0)),
        (
            {"ratelimit": "limit=100, remaining=0, reset=1795708800"},
            (0, MAX_WINDOW_SECONDS),
        ),  # seen: no request for 15 minutes
        ({"ratelimit": "limit=100, remaining=0, reset=1795708800", "ratelimit-policy": "100;w=60"}, (0, 60.0)),
        ({"ratelimit": "r=0;t=1600000000"}, (0, 0.0)),
        ({"ratelimit": "r=0;t=31536000"}, (0, MAX_WINDOW_SECONDS)),
        ({"ratelimit": '"burst";r=3;t=1, "window";r=0;t=60'}, (0, 60.0)),
        ({"ratelimit": '"a";r=0;t=5, "b";r=0;t=60'}, (0, 60.0)),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "12"}, (0, 12.0)),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "1700000012"}, (0, 12.0)),
        ({"x-ratelimit-limit": "9", "x-ratelimit-remaining": "4", "x-ratelimit-reset": "1700000012"}, (4, 12.0)),
        ({"x-rate-limit-remaining": "4", "x-rate-limit-reset": "12"}, (4, 12.0)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "Tue, 14 Nov 2023 22:13:32 GMT"}, (0, 12.0)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "Tue, 14 Nov 2023 22:13:10 GMT"}, (0, 0.0)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2023-11-14T22:13:32Z"}, (0, 12.0)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2023-11-14 23:13:32.5+01:00"}, (0, 12.5)),
        ({"ratelimit": 'limit=100, remaining=0, reset="Tue, 14 Nov 2023 22:13:32 GMT"'}, (0, 12.0)),
        ({"ratelimit": "limit=100, remaining=0, reset=Tue, 14 Nov 2023 22:13:32 GMT"}, (0, 12.0)),
        ({"ratelimit": '"a";r=3;t=5, "b";remaining=0;reset="Tue, 14 Nov 2023 22:13:32 GMT";w=60'}, (0, 12.0)),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "Tue, 31 Feb 2023 22:13:32 GMT"}, None),
        ({"ratelimit": 'remaining=0, reset="some day soon"'}, None),
        ({}, None),
        ({"ratelimit": "r=0"}, None),
        ({"ratelimit": "r=-1;t=-1"}, None),
        ({"ratelimit": "r=x;t=30"}, None),
        ({"ratelimit": f"r={'9' * 5000};t=30"}, None),  # seen: ended the whole run
        ({"ratelimit": f"r=0;t={'9' * 5000}"}, None),
        ({"ratelimit-remaining": "0"}, None),
        ({"ratelimit-policy": "q=0;w=60"}, None),
        ({"x-ratelimit-remaining": "none", "x-ratelimit-reset": "soon"}, None),
    ],
)
def test_ratelimit(headers: dict[str, str], limit: tuple[int, float] | None) -> None:
    assert parse_ratelimit(headers, NOW) == limit


names = st.sampled_from(
    ["ratelimit", "ratelimit-policy", "retry-after", "date", "x-ratelimit-reset", "x-ratelimit-remaining"]
)
numbers = st.text("0123456789.e-", max_size=30)
texts = st.text('rtesminag=;, 0123456789"GMT:\x80', max_size=60) | st.builds("r={};t={}".format, numbers, numbers)


@given(st.dictionaries(names, texts))
def test_no_header_raises_or_delays_for_long(headers: dict[str, str]) -> None:
    limit = parse_ratelimit(headers, NOW)
    assert limit is None or (limit[0] >= 0 and 0 <= limit[1] <= MAX_WINDOW_SECONDS)
    assert (parse_retry_after(headers, NOW) or 0.0) >= 0
