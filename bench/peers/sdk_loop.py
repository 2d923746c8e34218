"""The official SDK in a loop, as its README shows it. Paging is by hand: the SDK has none for these lists.

The typed answer for a livestream drops its sessions, so that one call reads the raw response instead.
"""

import json
import os
import sys
from datetime import UTC, date, datetime, timedelta

import duckdb
from cloudflare import Cloudflare

PER_PAGE = 100


def main(database: str, first_day: str, last_day: str) -> None:
    account, app = os.environ["CLOUDFLARE_ACCOUNT_ID"], os.environ["REALTIMEKIT_APP_ID"]
    client = Cloudflare(api_token=os.environ["CLOUDFLARE_API_TOKEN"], base_url=os.environ["CLOUDFLARE_BASE_URL"])
    api = client.realtime_kit.livestreams
    livestreams: list[dict[str, object]] = []
    while True:
        page = api.get_all_livestreams(
            app, account_id=account, page_no=1 + len(livestreams) // PER_PAGE, per_page=PER_PAGE
        )
        rows = page.to_dict()["data"]
        livestreams += rows  # type: ignore[arg-type]  # this reply's data is a list
        if len(rows) < PER_PAGE:  # type: ignore[arg-type]
            break
    sessions: list[dict[str, object]] = []
    for row in livestreams:
        number, more = 1, True
        while more:
            reply = api.with_raw_response.get_livestream_session_for_livestream_id(
                str(row["id"]), account_id=account, app_id=app, page_no=number, per_page=PER_PAGE
            )
            found = reply.http_response.json()["data"]["sessions"]
            sessions += found
            number, more = number + 1, len(found) == PER_PAGE
    overall = []
    start, end = date.fromisoformat(first_day), date.fromisoformat(last_day)
    for offset in range((end - start).days + 1):
        day = start + timedelta(days=offset)
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        answer = api.get_livestream_analytics_complete(
            app, account_id=account, start_time=midnight, end_time=midnight + 86_399
        )
        overall.append({"day": f"{day}"} | answer.to_dict())
    daywise = api.get_org_analytics(app, account_id=account, start_date=first_day, end_date=last_day).to_dict()
    with duckdb.connect(database) as connection:
        tables = {"livestreams": livestreams, "sessions": sessions, "overall": overall, "daywise": [daywise]}
        for table, rows in tables.items():
            payloads = [json.dumps(row, default=str) for row in rows]
            connection.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT unnest(?::VARCHAR[]) AS payload", [payloads])


main(*sys.argv[1:])
