"""Stream keys and the token are removed by name, by form, and wherever a reply quotes them."""

import json
import re
import time
from base64 import b64encode
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.extract.known_fields import keep_known_fields
from pipelines.extract.known_secrets import MASK, KnownSecrets
from pipelines.extract.redaction import Redactor, find_secrets

KEY = "live_0123456789abcdef"
TOKEN = "token-0123456789"


def redactor() -> Redactor:
    return Redactor(TOKEN, KnownSecrets())


def redacted(value: Any, treatment: Any = "remove") -> Any:
    redacts = redactor()
    redacts.remember_secrets(value)
    return redacts.redact(value, treatment)


@pytest.mark.parametrize(
    "value",
    [
        {"stream_key": KEY},
        {"data": [{"id": "a", "stream_key": KEY}]},
        {"data": {"livestream": {"encoder": {"streamKey": KEY}}}},
        {"Stream-Key": KEY, "name": "x"},
        {"a": [[[{"STREAM_KEY": KEY}]]]},
        # under other names
        {"Stream Key": KEY},
        {"stream.key": KEY},
        {"stream_keys": [KEY, "other"]},
        {"stream_keys": {"primary": KEY}},
        {"rtmp_stream_key": KEY},
        {"streamKeyPrimary": KEY},
        {"rtmpKey": KEY},
        {"ingest_key": KEY},
        {"publishing-key": KEY},
        {"push_token": KEY},
        {"rtmps": {"url": "rtmps://x/live", "key": KEY}},
        {"rtmps.key": KEY},
        {"output": {"server": "rtmps://x/live/", "key": KEY}},
        {"srt": {"url": "srt://x:778", "streamId": KEY, "passphrase": "p" * 20}},
        {"srt_passphrase": KEY},
        {"whip": f"https://x/{KEY}/webRTC/publish"},
        {"webRTC": {"url": f"https://x/{KEY}/webRTC/publish"}},
        {"ＳＴＲＥＡＭ＿ＫＥＹ": KEY},
        {"stream\u200b_\u200bkey": KEY},
        {"key_for_stream": KEY},
        {"stream_credential": KEY},
        {"rtmps": {"primary": {"key": KEY}}},
        {"streams": [{"id": "a", "key": KEY}]},
        {"credentials": {"user": "x", "key": KEY}},
        {"api_key": KEY},
        {"authToken": KEY},
        {"srt_passwd": KEY},
        # by form
        {"ingest_server": f"rtmps://live.example:443/live/{KEY}"},
        {"err_message": f"cannot publish to rtmp://x/live/{KEY}: in use"},
        {"a": f"rtmps://user:{KEY}@x/live"},
        {"a": f"srt://x:778?streamid={KEY}&passphrase={KEY}"},
        {"a": f"https://x/whip/{KEY}"},
        {"a": f"whips://x/{KEY}"},
        {"a": f"rtsps://x/live/{KEY}"},
        {"a": f"srt+tls://x:778?streamid={KEY}"},
        {"a": f"moq://x/live/{KEY}"},
        {"a": f"wss://x/whip/{KEY}"},
        {"a": f"https://x/?to=rtmps%3A%2F%2Fx%2Flive%2F{KEY}&a=b"},
        {"a": f"stream_key={KEY}"},
        {"a": f"the stream key '{KEY}' is in use"},
        {"a": f"the stream key is {KEY}"},
        {"a": f"Streamkey {KEY}"},
        {"a": f"<streamKey>{KEY}</streamKey>"},
        {"a": f"?stream_key%3D{KEY}"},
        {"a": f"stream_key => {KEY}"},
        {"a": f"stream_key\n{KEY}"},
        {"a": f"pass phrase: {KEY}"},
        {"a": f'rejected: {{"streamKey": "{KEY}"}}'},
        {"a": json.dumps({"stream_key": KEY})},
        {"a": json.dumps({"nested": json.dumps({"Stream Key": KEY})})},
        {"a": json.dumps([{"rtmps": {"key": KEY}}])},
        {"a": f"Stream key: {KEY}"},
        # quoted in other fields, seen as rtmp addresses
        {"stream_key": KEY, "ingest_server": f"rtmps://live.example/app/{KEY}"},
        {"data": [{"stream_key": KEY}, {"err_message": f"rejected {KEY}: in use"}]},
        {"data": [{"err_message": f"rejected {KEY}: in use"}, {"stream_key": KEY}]},
        {"stream_key": KEY, KEY: 1},
        {"stream_key": KEY, "a": f"xx{KEY}yy{KEY}"},
    ],
)
@pytest.mark.parametrize("treatment", ["remove", "mask"])
def test_no_stream_key_remains(value: Any, treatment: str) -> None:
    kept = json.dumps(redacted(value, treatment))
    assert KEY not in kept
    assert "p" * 20 not in kept


@pytest.mark.parametrize(
    "source",
    [
        {"stream_key": KEY},
        {"rtmps": {"url": "rtmps://x/live", "key": KEY}},
        {"ingest_server": f"rtmps://x/live/{KEY}"},
        {"a": json.dumps({"stream_key": KEY})},
        {"stream_key": {"primary": [KEY]}},
    ],
)
@pytest.mark.parametrize("text", [f"{KEY} is in use", f"x{KEY}", f"rejected ({KEY})"])
def test_a_key_of_one_reply_is_removed_from_all_later_ones(source: Any, text: str) -> None:
    redacts = redactor()
    redacts.remember_secrets(source)
    assert KEY not in json.dumps(redacts.redact({"err_message": text, text: 1}))
    assert KEY not in redacts.redact_text(text)


HOSTS = ("http://x/", "http%3A%2F%2Fx%2F", "http:\\/\\/x\\/")
"""The rest of an address that is a key, in its URL and JSON encodings."""


@pytest.mark.parametrize(
    "quoted", ["a/b+c=d:e#f0123456789", "http://x/secret/0123456789abcdef", "with spaces in it 123"]
)
def test_a_key_is_removed_in_its_url_and_json_encodings(quoted: str) -> None:
    redacts = redactor()
    redacts.remember_secrets({"stream_key": quoted})
    for text in (quoted, quote(quoted, safe=""), quoted.replace("/", "\\/")):
        found = redacts.redact_text(f"see {text}")
        assert found.endswith(MASK)
        assert found.removesuffix(MASK) in {"see ", *(f"see {host}" for host in HOSTS)}


@pytest.mark.parametrize("key", [KEY, "Live/0123+456&789=abc d"])
def test_a_key_is_removed_in_other_encodings(key: str) -> None:
    redacts = redactor()
    redacts.remember_secrets({"stream_key": key})
    lower_escapes = re.sub("%..", lambda found: found[0].lower(), quote(key, safe=""))
    in_urls = {quote(key), quote_plus(key), lower_escapes, quote(quote(key, safe=""), safe=""), key.replace("+", " ")}
    for text in in_urls | {key.upper(), key.lower(), escape(key), b64encode(key.encode()).decode().rstrip("=")}:
        assert redacts.redact_text(f"see {text}!") == f"see {MASK}!"


SESSION = {
    "id": "0f3c1a2b-0000-4000-8000-123456789abc",
    "livestream_id": "2c8e9115-b653-4099-a1d3-ac788a9bd2a6",
    "created_at": "2026-11-27T07:08:40.742Z",
    "ingest_seconds": 531.5,
    "err_message": None,
}


def test_a_record_without_a_trace_of_a_secret_is_not_copied() -> None:
    redacts = redactor()
    redacts.remember_secrets([SESSION, {"stream_key": KEY}])
    assert redacts.redact(SESSION) is SESSION
    assert keep_known_fields(SESSION) is SESSION


@given(st.dictionaries(st.sampled_from(sorted(SESSION)), st.sampled_from([KEY, f"at {KEY}", TOKEN, "x", 1, None])))
def test_a_record_of_documented_fields_is_redacted_as_any_other(record: dict[str, Any]) -> None:
    """An unknown field makes the record one that is walked field by field."""
    redacts = redactor()
    redacts.remember_secrets({"stream_key": KEY})
    walked = redacts.redact({**record, "unknown": 1})
    assert redacts.redact(record) | {"unknown": 1} == walked
    assert KEY not in json.dumps(walked)
    assert TOKEN not in json.dumps(walked)


@pytest.mark.parametrize("key", [None, 5, True, "", ["x"], {"y": 1}])
def test_a_key_of_any_type_is_removed(key: object) -> None:
    assert redacted({"stream_key": key, "id": "a"}) == {"id": "a"}


def test_the_longest_of_several_keys_is_removed() -> None:
    value = [{"stream_key": KEY}, {"stream_key": KEY + "-backup"}, {"url": KEY + "-backup"}]
    assert redacted(value) == [{}, {}, {"url": MASK}]


@pytest.mark.parametrize("short", ["live", "ut", "a", "", "now"])
def test_a_short_key_is_not_removed_from_innocent_text(short: str) -> None:
    assert redacted({"stream_key": short, "status": "live now but"}) == {"status": "live now but"}
    assert redacted({"stream_key": short, "a": f"rtmps://x/live/{short}"}) == {
        "a": f"rtmps://x/live/{MASK}" if short else "rtmps://x/live/"
    }


@pytest.mark.parametrize(
    "value",
    [
        {"id": 1, "a": [1.5, None, True, {"b": "ü"}], "name": "x", "keyframe_interval": 2},
        {"ingest_server": "rtmps://live.cloudflare.com:443/live/"},
        {"ingest_server": "rtmps://live.cloudflare.com:443/live"},
        {"ingest_server": "rtmps://live.example:443/regional-broadcast-center/"},
        {"ingest_server": "rtmps://x"},
        {"ingest_server": "srt://x:778"},
        {"playback_url": "https://customer-x.example/0f3c1a2b/manifest/video.m3u8?a=b"},
        {"err_message": "stream key: rejected"},
        {"err_message": "Invalid stream key: expired, try again"},
        {"err_message": "the stream key is wrong; password policy"},
        {"created_at": "2026-11-27T07:08:40.742Z", "id": "0f3c1a2b-0000-4000-8000-123456789abc"},
        {"err_message": "the stream key of 0f3c1a2b-0000-4000-8000-123456789abc is missing; password of administrator"},
        {"err_message": "moved to https://play.example/regional-broadcast-center-2026/x"},
        {"stream_keywords": ["sports-2026-championship"], "name": "sports-2026-championship"},
        {"author": {"name": "x"}, "livestream": {"session": {"id": "a", "err_message": None}}},
        {"paging": {"next_page_token": "abcdefghijklmnop"}},
    ],
)
def test_other_values_are_unchanged(value: Any) -> None:
    assert redacted(value) == value


@pytest.mark.parametrize("text", ["invalid key: {}", "?a=b&key={}", "Key = '{}' is in use"])
def test_a_key_without_the_name_of_a_stream_is_masked_and_not_remembered(text: str) -> None:
    """It may be the id of a record, as in `duplicate key: ID`."""
    redacts, reply = redactor(), {"err_message": text.format(KEY), "name": KEY}
    redacts.remember_secrets(reply)
    assert redacts.redact(reply) == {"err_message": text.format(MASK), "name": KEY}
    for same in ("the key: is rotated", "keyframe=2026-11-27-a-b-c-d", f"duplicate key: {SESSION['id']}"):
        assert redacts.redact_text(same) == same


def test_error_messages_lose_words_with_the_form_of_a_key() -> None:
    """A refusal may quote a key before any reply has named it as one."""
    kept = "livestream 0f3c1a2b-0000-4000-8000-123456789abc of 0123456789abcdef0123456789abcdef: internal_server_error_of_it"
    assert redactor().redact_message(f"{kept}: {KEY}") == f"{kept}: {MASK}"


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("rtmp://x/regional-broadcast-center/KEY", f"rtmp://x/regional-broadcast-center/{MASK}"),
        ("rtmp://x/regional-broadcast-center", f"rtmp://x/{MASK}"),  # as well a passphrase
        ("rtmp://x/KEY/", f"rtmp://x/{MASK}"),
        ("rtmp://x/KEY/KEY", f"rtmp://x/{MASK}"),
        ("rtmp://x/qjzkxwvbnmasdfghjklpoiu/", f"rtmp://x/{MASK}"),
    ],
)
def test_the_application_of_an_address_is_kept_unless_it_is_the_key(address: str, kept: str) -> None:
    assert redacted({"ingest_server": address.replace("KEY", KEY)}) == {"ingest_server": kept}


def test_error_messages_keep_ulids() -> None:
    ulid = "01HF7YAT00ABCDEFGHJKMNPQRS"
    assert redactor().redact_message(f"livestream {ulid}: {KEY}") == f"livestream {ulid}: {MASK}"
    assert redactor().redact_message("key 7ZHF7YAT00ABCDEFGHJKMNPQRS") == f"key {MASK}"
    redacts = redactor()
    redacts.remember_secrets({"stream_key": ulid})
    assert redacts.redact_message(f"{ulid} in use") == f"{MASK} in use"


@pytest.mark.parametrize("state", ["unavailable", "Provisioning", "not-configured", "redacted"])
def test_a_state_word_as_key_is_not_removed_elsewhere(state: str) -> None:
    message = f"the service is {state}"
    assert redacted({"stream_key": state, "err_message": message}) == {"err_message": message}


def test_keys_with_the_same_prefix_are_distinguished() -> None:
    # Of five lengths and more the longest was cut out of whatever began like them.
    redacts = redactor()
    keys = ["live_123" + "x7" * length for length in range(4, 16)]
    redacts.remember_secrets([{"stream_key": key} for key in keys])
    innocent = "live_123 is the name of the studio, and nothing else"
    assert redacts.redact_text(innocent) == innocent
    assert [redacts.redact_text(f"{key}!") for key in keys] == [f"{MASK}!"] * len(keys)


def test_the_id_of_a_record_is_not_a_key() -> None:
    """Cut out, every record's id would be the same: one livestream where there are many."""
    value = [{"id": KEY, "stream_key": KEY, "name": "x"}, {"livestream_id": KEY}]
    assert redacted(value) == [{"id": KEY, "name": "x"}, {"livestream_id": KEY}]
    uuid = "0f3c1a2b-0000-4000-8000-123456789abc"
    redacts = redactor()
    redacts.remember_secrets({"err_message": f"stream key: {uuid}", "ingest_server": f"rtmps://x/live/{uuid}"})
    assert redacts.redact({"id": uuid}) == {"id": uuid}


@pytest.mark.parametrize("treatment", ["remove", "mask", "show"])
def test_the_token_is_removed_even_where_keys_are_shown(treatment: Any) -> None:
    value = {"stream_key": KEY, "name": f"Bearer {TOKEN}", TOKEN: [TOKEN]}
    kept = json.dumps(redacted(value, treatment))
    assert TOKEN not in kept
    assert (KEY in kept) == (treatment == "show")


def test_an_address_as_key_does_not_remove_other_addresses() -> None:
    # Seen: remembered whole, with many lengths, they removed as many characters from every address in any text.
    redactor = Redactor("token-of-nobody", KnownSecrets())
    keys = ["k3y" * length for length in range(5, 12)]
    redactor.remember_secrets([{"whip_url": f"https://a.example/{key}"} for key in keys])
    other = f"https://play.example/{'manifest/' * 9}video.m3u8 of rtmp"
    assert redactor.redact_text(other) == other
    assert not any(key in redactor.redact_text(f"at https://a.example/{key}, or {key}") for key in keys)


def test_the_key_within_an_address_as_key_is_removed_everywhere() -> None:
    assert KEY in find_secrets({"rtmp_stream_key": f"rtmps://a.example/live/{KEY}"})


def test_the_name_of_a_known_field_is_not_a_key() -> None:
    reply = {"id": "a", "stream_keys": "disabled", "disabled": "disabled"}
    assert redacted(reply) == {"id": "a", "disabled": "disabled"}


def test_keys_are_masked_or_shown() -> None:
    value = {"id": "a", "stream_key": KEY, "url": f"rtmps://x/{KEY}"}
    assert redacted(value, "mask") == {"id": "a", "stream_key": MASK, "url": f"rtmps://x/{MASK}"}
    assert redacted(value, "show") == value


def test_the_number_of_known_secrets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.extract.known_secrets._MAX_SECRETS", 100)
    keys = KnownSecrets()
    for number in range(1_000):
        keys.add(f"key-{number:012}")
    assert keys.mask(f"key-{999:012} key-{0:012}") == f"{MASK} key-{0:012}"


SIZE = 8_000


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ([f"{n:08}{'x' * 24}" for n in range(SIZE)], "".join(f"{n:08}" for n in range(SIZE))),
        (["samesame" + "y" * (n % 500) + f"{n}" for n in range(SIZE)], "samesamez" * SIZE),
        (["a" * 8 + "b" * n for n in range(1, 500)], "a" * 10 * SIZE),
        (["a" * n for n in range(8, 500)], "a" * 10 * SIZE),
    ],
    ids=["many", "same beginning", "nearly", "nested"],
)
def test_redaction_is_linear_in_the_text(keys: list[str], text: str) -> None:
    """Seen: 8,000 keys in a reply of 60 kB took five seconds of CPU."""
    value = {"data": [{"stream_key": key} for key in keys], "texts": [text[:60_000], *keys[:100]]}
    began = time.process_time()
    redacted(value)
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    "part", ["stream_key", "rtmp://", "rtmps:\\/\\/", "srt://x?", "stream_key=", "password ", "\\", "{[", "key"]
)
def test_no_pattern_backtracks(part: str) -> None:
    began = time.process_time()
    redacted([part * (200_000 // len(part)), {part * 1_000: part * 1_000}])
    assert time.process_time() - began < 2.0


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(f"see {KEY}"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "stream_key", "streamKey"]), inner)
    ),
    max_leaves=12,
)


@given(documents)
def test_keys_are_removed_from_any_document(document: Any) -> None:
    document = {"stream_key": KEY, "rest": document}
    assert KEY in find_secrets(document)
    assert KEY not in json.dumps(redacted(document))


# --- known fields -------------------------------------------------------------------------------------------


def test_of_unknown_fields_only_numbers_booleans_and_times_keep_their_value() -> None:
    record = {"id": "a", "name": "x", "err_message": None, "ingest_seconds": "531", "disabled": "no"}
    unknown = {"a": 1, "b": 1.5, "c": True, "d": None, "e": "2026-11-27", "f": "2026-11-27T07:08:40.742Z"}
    texts = {"g": KEY, "h": [KEY], "i": {"x": KEY}, "j": "2026-11-27 and more", "k": "531"}
    kept = {"g": MASK, "h": [], "i": {}, "j": MASK, "k": MASK}
    assert keep_known_fields(record | unknown | texts) == record | unknown | kept


def test_values_nested_in_a_known_field_keep_their_type_only() -> None:
    assert keep_known_fields({"name": {"x": KEY, "y": 1, "z": [KEY]}, "status": [KEY, 2]}) == {
        "name": {"x": MASK, "y": 1, "z": []},
        "status": [MASK, 2],
    }


@pytest.mark.parametrize("record", [None, 1, "text", [1], True])
def test_values_that_are_not_records_are_unchanged(record: Any) -> None:
    assert keep_known_fields(record) == record
