"""The short form of the fault suite, from one seed.

I1 to I6, I8, I10, I12; F01 to F07, F10, F13, F14, F25, F33, F35; C1 to C6, C10; T3, T4, T6.
"""

import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.faults.campaign import ELSEWHERE, Campaign
from wattle.keeper.failpoints import POINTS

SECONDS = 60.0


@pytest.mark.timeout(600)
def test_no_rule_is_violated_whatever_is_killed_wherever(capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("WATTLE_FAULT_SEED") or random.randrange(2**32))
    campaign = Campaign(seed, float(os.environ.get("WATTLE_FAULT_SECONDS") or SECONDS)).run()
    with capsys.disabled():
        print(f"\n{campaign.say()}")
    assert campaign.violations == []
    never = [point for point in POINTS if not campaign.fired[point] and point not in ELSEWHERE]
    assert never == [], f"seed {seed}: these never fired, so nothing was shown of them"
    assert campaign.fired["daemon"] and campaign.fired["keeper"]


@pytest.mark.parametrize("arguments", [[], ["nan"], ["-1"], ["long"], ["1", "2"]])
def test_a_soak_without_an_end_is_refused(arguments: list[str]) -> None:
    script = Path(__file__).parents[2] / "scripts" / "soak"
    answer = subprocess.run([script, *arguments], capture_output=True, text=True, check=False, timeout=100)
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1].startswith("usage: scripts/soak MINUTES")
