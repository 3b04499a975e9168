"""The long form: `python -m tests.faults.soak MINUTES`. Ends by itself; exit status 1 where a rule was violated."""

import os
import random
import sys

from tests.faults.campaign import Campaign


def main(arguments: list[str]) -> int:
    try:
        (given,) = arguments
        minutes = float(given)
        if not 0 < minutes < 100_000:
            raise ValueError(given)
        seed = int(os.environ.get("WATTLE_FAULT_SEED") or random.randrange(2**32))
    except ValueError:
        print("usage: scripts/soak MINUTES (a number; WATTLE_FAULT_SEED=N repeats a seed)", file=sys.stderr)
        return 2
    print(f"seed {seed}, {minutes:g} minutes", flush=True)
    campaign = Campaign(seed, minutes * 60, goes_on=True).run()
    for violation in campaign.violations:
        print(f"violation: {violation}")
    print(campaign.say())
    return 1 if campaign.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
