"""The floor: plain httpx with as many connections as livehouse, and one insert per table, without any checks."""

import calendar
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import duckdb
import httpx

PER_PAGE = 100


def main(database: str, first_day: str, last_day: str) -> None:
    account, app = os.environ["CLOUDFLARE_ACCOUNT_ID"], os.environ["REALTIMEKIT_APP_ID"]
    base = f"{os.environ['CLOUDFLARE_BASE_URL']}/accounts/{account}/realtime/kit/{app}"
    connections = int(os.environ["CONNECTIONS"])
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    headers = {"Authorization": f"Bearer {os.environ['CLOUDFLARE_API_TOKEN']}"}
    with (
        httpx.Client(base_url=base, headers=headers, limits=limits, timeout=60) as client,
        ThreadPoolExecutor(connections) as pool,
    ):

        def get_json(path: str, **params: Any) -> Any:
            return client.get(path, params=params).raise_for_status().json()

        def pages(path: str) -> list[Any]:
            responses = [get_json(path, page_no=1, per_page=PER_PAGE)]
            total = int(responses[0]["paging"]["total_count"])
            responses += [
                get_json(path, page_no=number, per_page=PER_PAGE) for number in range(2, -(-total // PER_PAGE) + 1)
            ]
            return [response["data"] for response in responses]

        livestreams = [row for page in pages("/livestreams") for row in page]
        details = pool.map(lambda row: pages(f"/livestreams/{row['id']}"), livestreams)
        sessions = [session for found in details for page in found for session in page["sessions"]]
        start, end = date.fromisoformat(first_day), date.fromisoformat(last_day)
        days = [start + timedelta(days=number) for number in range((end - start).days + 1)]
        overall = list(
            pool.map(
                lambda day: get_json(
                    "/analytics/livestreams/overall",
                    start_time=calendar.timegm(day.timetuple()),
                    end_time=calendar.timegm(day.timetuple()) + 86_399,
                )["data"],
                days,
            )
        )
        daywise = get_json("/analytics/daywise", start_date=first_day, end_date=last_day)["data"]
    with duckdb.connect(database) as connection:
        tables = {"livestreams": livestreams, "sessions": sessions, "overall": overall, "daywise": [daywise]}
        for table, rows in tables.items():
            payloads = [json.dumps(row, default=str) for row in rows]
            connection.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT unnest(?::VARCHAR[]) AS payload", [payloads])


main(*sys.argv[1:])
