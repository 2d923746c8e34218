"""Stream keys: removed at any depth, and cut out wherever else the reply quotes them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.extract.secrets import MASK, mask, stream_keys, without_stream_keys

KEY = "live_0123456789abcdef"


@pytest.mark.parametrize(
    "value",
    [
        {"stream_key": KEY},
        {"data": [{"id": "a", "stream_key": KEY}]},
        {"data": {"livestream": {"encoder": {"streamKey": KEY}}}},
        {"Stream-Key": KEY, "name": "x"},
        {"a": [[[{"STREAM_KEY": KEY}]]]},
        # quoted in other fields, seen as rtmp addresses
        {"stream_key": KEY, "ingest_server": f"rtmps://live.example/app/{KEY}"},
        {"data": [{"stream_key": KEY}, {"err_message": f"rejected {KEY}: in use"}]},
        {"stream_key": KEY, KEY: 1},
    ],
)
@pytest.mark.parametrize("show", [False, True])
def test_no_key_is_left(value: Any, show: bool) -> None:  # noqa: FBT001 - a parameter of the test
    kept = without_stream_keys(value, show=show)
    assert KEY not in json.dumps(kept)
    assert (MASK in json.dumps(kept)) >= show


@pytest.mark.parametrize("odd", [None, 5, True, "", ["x"], {"y": 1}])
def test_a_key_of_any_type_is_removed(odd: object) -> None:
    assert without_stream_keys({"stream_key": odd, "id": "a"}) == {"id": "a"}


def test_the_longer_of_two_keys_goes_first() -> None:
    value = [{"stream_key": KEY}, {"stream_key": KEY + "-backup"}, {"url": KEY + "-backup"}]
    assert without_stream_keys(value) == [{}, {}, {"url": MASK}]


def test_a_short_key_is_not_cut_out_of_innocent_text() -> None:
    assert without_stream_keys({"stream_key": "live", "status": "live now"}) == {"status": "live now"}


def test_everything_else_stays() -> None:
    value = {"id": 1, "a": [1.5, None, True, {"b": "ü"}], "key": "x", "stream_keys": 3}
    assert without_stream_keys(value) == value


def test_mask_cuts_every_secret_every_time() -> None:
    assert mask("a secret, a secret and a token", ["secret", "token"]) == f"a {MASK}, a {MASK} and a {MASK}"


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(f"see {KEY}"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "stream_key", "streamKey"]), inner)
    ),
    max_leaves=12,
)


@given(documents)
def test_whatever_the_reply_looks_like(document: Any) -> None:
    document = {"stream_key": KEY, "rest": document}
    assert KEY in set(stream_keys(document))
    assert KEY not in json.dumps(without_stream_keys(document))
