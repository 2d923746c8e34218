"""What is made of the API's four requests a second: by livehouse, and by what a user would pick instead.

The server answers 429 to whatever is over its limit: to the fifth request of a second, or to the 1,201st of five minutes, as
the vendor's own policy has it. Its replies take 0.3 s, so that who asks one by one leaves budget unused. Counted by the
server: requests, refusals, and the share of the limit that was used between the first request and the last, work between
them included. `python bench/budget.py`, with `pip install -e '.[bench]'`, takes half an hour.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.served import DLT, LIVEHOUSE, SDK, VARIABLES, World, commands, served

LIMITS = {
    "4 a second": World(livestreams=500, sessions=3_000, latency=0.3, limit=(4, 1.0)),
    "1,200 in 5 minutes": World(livestreams=1_300, sessions=7_800, latency=0.3, limit=(1_200, 300.0)),
}


def main() -> None:
    """A cold load of a fresh world for each."""
    print(f"{datetime.now(UTC).date()}")
    print("| limit | loaded by | came to its end | seconds | requests | refused (429) | share of the limit used |")
    print("|---|---|---|---|---|---|---|")
    for limit, world in LIMITS.items():
        assert world.limit
        rate = world.limit[0] / world.limit[1]
        for name in (LIVEHOUSE, DLT, SDK):
            with served(world) as run:
                found = run.run(commands(name, run.home, *world.range)[0], **VARIABLES[name])
            heard = found.heard
            share = (heard.requests - heard.refused - 1) / (heard.last - heard.first) / rate
            ended = "yes" if found.succeeded else "no: " + " ".join(found.said.splitlines()[-1:])[:120]
            told = (
                limit,
                name,
                ended,
                f"{found.wall:.0f}",
                f"{heard.requests:,}",
                f"{heard.refused:,}",
                f"{share:.1%}",
            )
            print(f"| {' | '.join(told)} |", flush=True)


if __name__ == "__main__":
    main()
