"""dlt's rest_api source into DuckDB: the list, sessions by livestream in parallel, overall by day, daywise; merged by key.

Paged as its documentation shows for numbered pages without a count of pages, until one is empty; or, `counted`, by a
paginator of our own that ends with the last row the API counts.
"""

import calendar
import os
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dlt
from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator
from dlt.sources.rest_api import rest_api_resources

PER_PAGE = 100


class CountedPages(PageNumberPaginator):
    """Saves the empty page that dlt asks for after the last one of each livestream."""

    def update_state(self, response: Any, data: Any = None) -> None:
        super().update_state(response, data)
        if response.json()["paging"]["end_offset"] >= response.json()["paging"]["total_count"]:
            self._has_next_page = False


def main(database: str, first_day: str, last_day: str, paging: str) -> None:
    paginator = CountedPages if paging == "counted" else PageNumberPaginator

    def pages() -> Any:
        return paginator(base_page=1, page_param="page_no", total_path=None)

    account, app = os.environ["CLOUDFLARE_ACCOUNT_ID"], os.environ["REALTIMEKIT_APP_ID"]

    @dlt.resource(name="days", selected=False)
    def days() -> Iterator[list[dict[str, str]]]:
        start, end = date.fromisoformat(first_day), date.fromisoformat(last_day)
        for offset in range((end - start).days + 1):
            day = start + timedelta(days=offset)
            midnight = calendar.timegm(day.timetuple())
            yield [{"day": f"{day}", "midnight": f"{midnight}", "last_second": f"{midnight + 86_399}"}]

    config: Any = {
        "client": {
            "base_url": f"{os.environ['CLOUDFLARE_BASE_URL']}/accounts/{account}/realtime/kit/{app}/",
            "auth": {"type": "bearer", "token": os.environ["CLOUDFLARE_API_TOKEN"]},
        },
        "resource_defaults": {"primary_key": "id", "write_disposition": "merge"},
        "resources": [
            {
                "name": "livestreams",
                "endpoint": {
                    "path": "livestreams",
                    "params": {"per_page": PER_PAGE},
                    "data_selector": "data",
                    "paginator": pages(),
                },
            },
            {
                "name": "sessions",
                "parallelized": True,
                "endpoint": {
                    "path": "livestreams/{resources.livestreams.id}",
                    "params": {"per_page": PER_PAGE},
                    "data_selector": "data.sessions",
                    "paginator": pages(),
                },
            },
            days(),
            {
                "name": "overall",
                "parallelized": True,
                "primary_key": "_days_day",
                "include_from_parent": ["day"],
                "endpoint": {
                    "path": "analytics/livestreams/overall",
                    "params": {
                        "start_time": "{resources.days.midnight}",
                        "end_time": "{resources.days.last_second}",
                    },
                    "data_selector": "$",
                    "paginator": "single_page",
                },
            },
            {
                "name": "meetings",
                "primary_key": "day",
                "endpoint": {
                    "path": "analytics/daywise",
                    "params": {"start_date": first_day, "end_date": last_day},
                    "data_selector": "data.session_stats.day_stats",
                    "paginator": "single_page",
                },
            },
            {
                "name": "recordings",
                "primary_key": "day",
                "endpoint": {
                    "path": "analytics/daywise",
                    "params": {"start_date": first_day, "end_date": last_day},
                    "data_selector": "data.recording_stats.day_stats",
                    "paginator": "single_page",
                },
            },
        ],
    }
    pipeline = dlt.pipeline(
        "realtimekit",
        pipelines_dir=str(Path(database).parent / "dlt"),
        destination=dlt.destinations.duckdb(database),
        dataset_name="realtimekit",
    )
    pipeline.run(rest_api_resources(config))


main(*sys.argv[1:])
