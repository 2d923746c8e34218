"""One reply: the JSON object of a success, or the error it is."""

import json
from itertools import product

import pytest

from pipelines.errors import ApiError, ApiRefusedError, NotFoundError, TransientApiError
from pipelines.extract.json_values import MAX_VALUES, parse_json
from pipelines.extract.responses import parse_response

CHAINED = (
    b'{"success":false,"errors":[{"code":6003,"message":"Invalid request headers","error_chain":'
    b'[{"code":6111,"message":"Invalid format for Authorization header"}]}],"messages":[],"result":null}'
)
CHALLENGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"
HTML_502 = b"<!DOCTYPE html><html><head><title>api.cloudflare.com | 502: Bad gateway</title></head><body/></html>"


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        # the three documented forms
        (400, b'{"success":false,"errors":[{"code":7003,"message":"no"}],"result":null}', ApiRefusedError, "400: no"),
        (422, b'{"success":false,"error":{"code":1,"message":"bad date"}}', ApiRefusedError, "422: bad date"),
        (502, HTML_502, TransientApiError, "502: api.cloudflare.com | 502: Bad gateway"),
        # and their relatives
        (404, b'{"success":false,"errors":[{"message":"unknown"}]}', NotFoundError, "404: unknown"),
        (401, b'{"errors":[{"message":"Authentication error"}]}', ApiRefusedError, "CLOUDFLARE_API_TOKEN"),
        (403, b'{"errors":[]}', ApiRefusedError, "Realtime permission"),
        (403, b'{"errors":[{"code":9109,"message":"Invalid access token"}]}', ApiRefusedError, "CLOUDFLARE_API_TOKEN"),
        (403, b'{"errors":[{"message":"The API token lacks a permission"}]}', ApiRefusedError, "Realtime permission"),
        (
            400,
            b'{"error":"Bad Request","message":["per_page is too large"]}',
            ApiRefusedError,
            "Bad Request: per_page is",
        ),
        (400, b'{"error":"invalid","error_description":"no range"}', ApiRefusedError, "400: invalid: no range"),
        (400, b'{"error":"no range","message":"no range"}', ApiRefusedError, "400: no range"),
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
        (200, b'{"success":true,"data":[{"id":"a"', TransientApiError, "truncated or malformed JSON"),
        (200, b'{"name":"\xff\xfe"}', TransientApiError, "200, but not JSON"),
        (200, b"\x00\x01\x02", TransientApiError, "200, but not JSON: no message"),
        # a cause that explains the message
        (400, CHAINED, ApiRefusedError, "400: check CLOUDFLARE_API_TOKEN: Invalid request headers: Invalid format for"),
        (
            400,
            b'{"errors":[{"message":"a","error_chain":[{"message":"b","error_chain":[{"code":7}]}]}]}',
            ApiRefusedError,
            "400: a: 7",
        ),
        (400, b'{"errors":[{"message":"a"},{"message":"b"}]}', ApiRefusedError, "400: a; b"),
        (400, b'{"errors":{"start_time":["must be integer"]}}', ApiRefusedError, "must be integer"),
        (400, b'{"errors":[{"message":"a","error_chain":[]}]}', ApiRefusedError, "400: a"),
        (400, b'{"errors":[{"message":"a","error_chain":"x"}]}', ApiRefusedError, "400: a"),
        # RFC 9457, OAuth
        (
            422,
            b'{"type":"about:blank","title":"Invalid request","status":422,"detail":"start_time must be integer"}',
            ApiRefusedError,
            "422: start_time must be integer",
        ),
        (
            422,
            b'{"type":"about:blank","title":"Invalid request","status":422}',
            ApiRefusedError,
            "422: Invalid request",
        ),
        (
            422,
            b'{"title":"Invalid","errors":[{"detail":"must be integer","pointer":"#/a"}]}',
            ApiRefusedError,
            "422: must be integer",
        ),
        (400, b'{"error":"invalid_grant","error_description":"expired"}', ApiRefusedError, "400: invalid_grant"),
        # refused at once, though some of them are no 4xx
        (301, b"", ApiRefusedError, "301: a redirect is not followed (check CLOUDFLARE_BASE_URL)"),
        (300, b"", ApiRefusedError, "CLOUDFLARE_BASE_URL"),
        (304, b"", ApiRefusedError, "CLOUDFLARE_BASE_URL"),
        (399, b"", ApiRefusedError, "CLOUDFLARE_BASE_URL"),
        (407, b"", ApiRefusedError, "HTTPS_PROXY"),
        (421, b"", ApiRefusedError, "CLOUDFLARE_BASE_URL"),
        (426, b"", ApiRefusedError, "CLOUDFLARE_BASE_URL"),
        (511, b"<html>log in</html>", ApiRefusedError, "this network requires a login"),
        # sent by something in front of the API
        (403, CHALLENGE, ApiRefusedError, "Just a moment... (a bot check answered in place of the API"),
        (503, CHALLENGE, ApiRefusedError, "a bot check answered in place of the API"),
        (
            403,
            b"<html><head><title>Access denied | Firewall</title></head></html>",
            ApiRefusedError,
            "a firewall or proxy on the way",
        ),
        (500, CHALLENGE, TransientApiError, "Just a moment..."),
        (999, b"", TransientApiError, "999: no message"),
        (
            200,
            b'{"data":[' + b"{}," * MAX_VALUES + b"{}]}",
            TransientApiError,
            "200, but more values than a reply may have",
        ),
    ],
)
def test_every_kind_of_error(status: int, body: bytes, error: type[ApiError], message: str) -> None:
    with pytest.raises(ApiError) as raised:
        parse_response("GET /x", status, body)
    assert type(raised.value) is error
    assert str(raised.value).startswith(f"GET /x: {status}")
    assert message in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "body",
    [b'{"success":true,"data":1}', b'{"data":1}', b'\xef\xbb\xbf{"success":true,"data":1}', b'{"success":1,"data":1}'],
)
def test_what_counts_as_success(body: bytes) -> None:
    assert parse_response("GET /x", 200, body)["data"] == 1


def nested_lists(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


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
        (f"{60 * '['}1{60 * ']'}", nested_lists(60)),
    ],
)
def test_values_that_json_or_python_would_change(text: str, value: object) -> None:
    assert parse_json(text.encode()) == value


def test_a_number_of_thousands_of_digits_stays_text() -> None:
    # int() of more than 4300 digits raises ValueError: the whole reply was then "not JSON".
    assert parse_json(b'{"n": ' + b"9" * 5000 + b"}") == {"n": "9" * 5000}


@pytest.mark.parametrize("depth", [65, 500, 5_000, 200_000])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"])
def test_deep_nesting_is_an_error_not_a_crash(depth: int, brackets: tuple[str, str]) -> None:
    # 500 levels parse, but exhausted the stack where stream keys are looked for.
    body = f'{{"data":{brackets[0] * depth}{"1" if brackets[0] != "[" else ""}{brackets[1] * depth}}}'
    with pytest.raises(TransientApiError):
        parse_response("GET /x", 200, body.encode())


def message_of(body: bytes) -> str:
    with pytest.raises(ApiError) as raised:
        parse_response("GET /x", 500, body)
    return str(raised.value).removeprefix("GET /x: 500: ")


def test_a_message_is_one_short_line() -> None:
    assert len(message_of(json.dumps({"error": {"message": "x\r\n" * 5000}}).encode())) <= 300
    assert len(message_of(b"y" * 100_000)) <= 300


def test_the_message_of_a_truncated_reply_has_no_stream_key() -> None:
    body = b'{"success":true,"data":[{"stream_key":"sk-0123456789abcdef","id":'
    assert "sk-0123" not in message_of(body)
    assert "sk-0123" not in message_of(b')]}\',\n"stream_key":"sk-0123456789abcdef"')


def test_a_shortened_message_has_no_part_of_a_stream_key() -> None:
    key = "sk-0123456789abcdef"
    message = "x" * 290 + key
    body = json.dumps({"error": {"message": message}, "data": {"stream_key": key}}).encode()
    assert "sk-0" not in message_of(body)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, CHALLENGE),
        (200, b""),  # a JSON object with this status is a success
        *product([403, 429, 503], [CHALLENGE, b"", b"{}", b'{"success":true,"data":[]}']),
    ],
)
def test_a_bot_check_is_recognized_by_its_header(status: int, body: bytes) -> None:
    """Seen as 403: the message blamed the token, and an operator would have replaced it."""
    with pytest.raises(ApiRefusedError) as raised:
        parse_response("GET /x", status, body, {"cf-mitigated": "challenge"})
    assert "a bot check answered" in str(raised.value)
    assert "permission" not in str(raised.value)
    assert "TOKEN" not in str(raised.value)


def test_a_redirect_names_only_the_host_of_its_target() -> None:
    for location, named in (
        ("https://login.example:8443/x?token=abc", " to login.example:8443 "),
        ("https://xn--0000000000/", " to xn--0000000000 "),
        ("/elsewhere", "redirect is"),
        ("\x80\xff" * 5000, "redirect is"),
    ):
        with pytest.raises(ApiRefusedError) as raised:
            parse_response("GET /x", 302, b"", {"location": location})
        assert named in str(raised.value)
        assert "abc" not in str(raised.value)


def test_a_short_stream_key_leaves_the_message_readable() -> None:
    body = b'{"success":false,"data":{"id":"x","stream_key":"ut"},"errors":[{"code":5,"message":"but try again"}]}'
    with pytest.raises(TransientApiError, match=r"^GET /x: 200, but not a success: but try again$"):
        parse_response("GET /x", 200, body)


def test_our_own_words_are_not_removed_as_a_key() -> None:
    body = b'{"success":false,"data":{"id":"x","stream_key":"not a success"},"errors":[{"message":"not a success"}]}'
    with pytest.raises(TransientApiError, match=r"^GET /x: 200, but not a success: \[removed\]$"):
        parse_response("GET /x", 200, body)


@pytest.mark.parametrize("value", [b"{}", b"[]", b'"",', b'{"":[0]}', b'{"a":0}', b"1e5"])
def test_too_many_values_are_refused_before_parsing(value: bytes) -> None:
    """64 MiB of `{}` became 3.3 GB."""
    body = b'{"data":[' + b",".join([value] * (8 * 2**20 // (len(value) + 1))) + b"]}"
    with pytest.raises(ValueError, match="more values"):
        parse_json(body)
