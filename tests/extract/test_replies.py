"""One reply: a JSON object that succeeded, or the error that it is."""

import json

import pytest

from pipelines.errors import ApiError, ApiRefusedError, NotFoundError, TransientApiError
from pipelines.extract.replies import api_message, parse, read_reply, seconds_told

HTML_502 = b"<!DOCTYPE html><html><head><title>api.cloudflare.com | 502: Bad gateway</title></head><body/></html>"


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        # the three shapes of facts.md
        (400, b'{"success":false,"errors":[{"code":7003,"message":"no"}],"result":null}', ApiRefusedError, "400: no"),
        (422, b'{"success":false,"error":{"code":1,"message":"bad date"}}', ApiRefusedError, "422: bad date"),
        (502, HTML_502, TransientApiError, "502: api.cloudflare.com | 502: Bad gateway"),
        # and their relatives
        (404, b'{"success":false,"errors":[{"message":"unknown"}]}', NotFoundError, "404: unknown"),
        (401, b'{"errors":[{"message":"Authentication error"}]}', ApiRefusedError, "CLOUDFLARE_API_TOKEN"),
        (403, b'{"errors":[]}', ApiRefusedError, "Realtime permission"),
        (409, b"{}", ApiRefusedError, "409: no message"),
        (408, b"", TransientApiError, "408: no message"),
        (429, b"", TransientApiError, "429: no message"),
        (500, b'{"errors":["plain text"]}', TransientApiError, "500: plain text"),
        (500, b'{"errors":[{"code":10001}]}', TransientApiError, "500: 10001"),
        (504, b"<html>no title</html>", TransientApiError, "504: an HTML page"),
        (523, b"error code: 523", TransientApiError, "523: error code: 523"),
        (524, b'{"message":"timed\\nout\\u001b[31m"}', TransientApiError, "524: timed out [31m"),
        # 200 is not success
        (200, HTML_502, TransientApiError, "200, but not JSON: api.cloudflare.com"),
        (200, b'{"success":false,"errors":[{"message":"later"}]}', TransientApiError, "not a success: later"),
        (200, b'{"success":null}', TransientApiError, "200, but not a success"),
        (200, b'{"success":"false"}', TransientApiError, "200, but not a success"),
        (200, b'[{"id":"a"}]', TransientApiError, "200, but not a success"),
        (200, b"", TransientApiError, "200, but not JSON"),
        (204, b"", TransientApiError, "204, but not JSON"),
        (200, b'{"success":true,"data":[{"id":"a"', TransientApiError, "JSON cut short or broken"),
        (200, b'{"name":"\xff\xfe"}', TransientApiError, "200, but not JSON"),
        (200, b"\x00\x01\x02", TransientApiError, "200, but not JSON: no message"),
    ],
)
def test_every_kind_of_error(status: int, body: bytes, error: type[ApiError], says: str) -> None:
    with pytest.raises(ApiError) as raised:
        read_reply("GET /x", status, body)
    assert type(raised.value) is error
    assert str(raised.value).startswith(f"GET /x: {status}")
    assert says in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "body",
    [b'{"success":true,"data":1}', b'{"data":1}', b'\xef\xbb\xbf{"success":true,"data":1}', b'{"success":1,"data":1}'],
)
def test_what_counts_as_success(body: bytes) -> None:
    assert read_reply("GET /x", 200, body)["data"] == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1e999", "1e999"),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775807", -(2**63) + 1),
        ("9223372036854775808", "9223372036854775808"),
        ("0.1", 0.1),
        (r'"\ud83d\ude00"', "\N{GRINNING FACE}"),
        (r'"half \ud83d a face"', "half \ufffd a face"),
        (r'{"\ud83d": ["\ude00"]}', {"\ufffd": ["\ufffd"]}),
        (r'"a\u0000b"', "a\0b"),
        ("1", 1),
        ("null", None),
        ("[" * 60 + "]" * 60, None),
    ],
)
def test_values_that_json_or_python_would_spoil(text: str, value: object) -> None:
    assert value is None or parse(text.encode()) == value


def test_a_number_of_thousands_of_digits_stays_text() -> None:
    # int() of more than 4300 digits raises ValueError: the whole reply was then "not JSON".
    assert parse(b'{"n": ' + b"9" * 5000 + b"}") == {"n": "9" * 5000}


@pytest.mark.parametrize("depth", [65, 500, 5_000, 200_000])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"])
def test_deep_nesting_is_an_error_not_a_crash(depth: int, brackets: tuple[str, str]) -> None:
    # 500 levels parse, but exhausted the stack where stream keys are looked for.
    body = f'{{"data":{brackets[0] * depth}{"1" if brackets[0] != "[" else ""}{brackets[1] * depth}}}'
    with pytest.raises(TransientApiError):
        read_reply("GET /x", 200, body.encode())


def test_a_message_is_short_and_of_one_line() -> None:
    assert len(api_message(json.dumps({"error": {"message": "x\r\n" * 5000}}).encode())) <= 300
    assert len(api_message(b"y" * 100_000)) <= 300


def test_no_stream_key_in_the_message_of_a_reply_that_was_cut() -> None:
    body = b'{"success":true,"data":[{"stream_key":"sk-0123456789abcdef","id":'
    assert "sk-0123" not in api_message(body)
    assert "sk-0123" not in api_message(b')]}\',\n"stream_key":"sk-0123456789abcdef"')


def test_no_part_of_a_stream_key_where_a_message_is_cut() -> None:
    key = "sk-0123456789abcdef"
    message = "x" * 290 + key
    body = json.dumps({"error": {"message": message}, "data": {"stream_key": key}}).encode()
    assert "sk-0" not in api_message(body)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("1.5", 1.5),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2023 22:13:30 -0000", 10.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("Fri, 31 Feb 2023 22:13:30 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 -0000", 0.0),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert seconds_told(header, now=1_700_000_000.0) == seconds
