"""The use of the API's four requests per second: by livehouse, and by the alternatives.

The server answers 429 to requests above its limit: to the fifth request of a second, or to the 1,201st of five minutes, as
in the vendor's own policy. Responses take 0.3 s, so a sequential client leaves budget unused. The server counts requests,
refusals, and the share of the limit used between the first and the last request, including the work in between.
`python bench/budget.py`, with `pip install -e '.[bench]'`, takes half an hour.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.served import DLT, LIVEHOUSE, SDK, World, commands, served, variables

LIMITS = {
    "4 a second": World(livestreams=500, sessions=3_000, latency=0.3, limit=(4, 1.0)),
    "1,200 in 5 minutes": World(livestreams=1_300, sessions=7_800, latency=0.3, limit=(1_200, 300.0)),
}


def main() -> None:
    """Measure a cold load of a fresh world with each client."""
    print(f"{datetime.now(UTC).date()}")
    print("| limit | loaded by | finished | seconds | requests | refused (429) | share of the limit used |")
    print("|---|---|---|---|---|---|---|")
    for limit, world in LIMITS.items():
        assert world.limit
        rate = world.limit[0] / world.limit[1]
        for name in (LIVEHOUSE, DLT, SDK):
            with served(world) as run:
                found = run.run(commands(name, run.home, *world.range)[0], **variables(name))
            received = found.received
            share = (received.requests - received.refused - 1) / (received.last - received.first) / rate
            ended = "yes" if found.succeeded else "no: " + " ".join(found.output.splitlines()[-1:])[:120]
            cells = (
                limit,
                name,
                ended,
                f"{found.wall:.0f}",
                f"{received.requests:,}",
                f"{received.refused:,}",
                f"{share:.1%}",
            )
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
