"""Twenty clients start, stop and restart one worker at the same time (O4, P6).

The worker proves itself that there is never a second copy: it and its child hold a lock that the kernel gives
back only when both are gone, and a copy that finds it taken says so in a file. WATTLE_STORM_SECONDS makes the
storm longer.
"""

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.docs.documents import DOCS, section, table
from tests.whole.server import Reply, Server, eventually, marked

CLIENTS = 20
ROUND_SECONDS = 1.0
PAUSES = (0.0, 0.3, 2.0)  # of one client at most: some copies come to live, and some do not even start
SECONDS = float(os.environ.get("WATTLE_STORM_SECONDS", "6"))
WORKER = """
import fcntl, os, signal, sys, time
lock, witness, mark = sys.argv[1:]
def slowly(seconds):
    def end(number, frame):
        time.sleep(seconds)
        os._exit(0)
    return end
file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    said = "alone"
except BlockingIOError:
    said = "overlap"
with open(witness, "a") as log:
    log.write(f"{said} {os.getpid()}\\n")
child = os.fork()  # it has the lock too
signal.signal(signal.SIGTERM, slowly(0.02 if child else 0.05))
time.sleep(600)
"""


@dataclass(frozen=True)
class Acknowledged:
    verb: str
    sent_at: float
    answered_at: float


def codes() -> dict[str, set[int]]:
    """{code: statuses} as the page says."""
    rows = table(section(DOCS / "http.md", "Error codes"))
    return {row[0].strip("`"): {int(word) for word in row[1].split(", ") if word.isdigit()} for row in rows}


class Storm:
    def __init__(self, server: Server, witness: Path, mark: str, seed: int) -> None:
        self.server = server
        self.witness = witness
        self.mark = mark
        self.seed = seed
        self.documented = codes()
        self.answers: Counter[tuple[str, int, str]] = Counter()
        self.undocumented: list[Reply] = []
        self.refused: Reply | None = None  # the latest

    def say(self, verb: str) -> Acknowledged | None:
        """Send one command; None where it was refused."""
        sent_at = time.monotonic()
        reply = self.server.request("POST", f"/api/workers/storm/one/{verb}")
        code = "" if reply.status == 200 else reply.body["error"]["code"]
        self.answers[verb, reply.status, code] += 1
        if reply.status == 200:
            return Acknowledged(verb, sent_at, time.monotonic())
        self.refused = reply
        if reply.status >= 500 or reply.status not in self.documented.get(code, ()):
            self.undocumented.append(reply)
        return None

    def blow(self, number: int) -> set[bool]:
        """One round of all clients; gives whether the worker may run after it: by each command that may have
        been the last, which is each that no other came wholly after."""
        until, acknowledged = time.monotonic() + ROUND_SECONDS, []
        pause = PAUSES[number % len(PAUSES)]

        def client(chance: random.Random) -> None:
            while time.monotonic() < until:
                said = self.say(chance.choice(["start", "stop", "restart", "restart"]))
                if said is not None:
                    acknowledged.append(said)
                time.sleep(chance.uniform(0, pause))

        clients = [
            threading.Thread(target=client, args=(random.Random(f"{self.seed} {number} {each}"),))
            for each in range(CLIENTS)
        ]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
        latest = max(said.sent_at for said in acknowledged)
        return {said.verb != "stop" for said in acknowledged if said.answered_at >= latest}

    def settled(self) -> bool:
        """Whether the worker runs, once what is shown and what lives agree."""

        def look() -> str | None:
            worker = self.server.workers("storm")["one"]
            alive = len(marked(self.mark))
            if worker["phase"] == "running" and alive == 2:
                return "running"
            return "ended" if worker["phase"] == "ended" and alive == 0 else None

        return eventually(look) == "running"


def command(script: Path, lock: Path, witness: Path, mark: str) -> list[str]:
    return [sys.executable, "-I", "-S", str(script), str(lock), str(witness), mark]


def test_the_worker_sees_a_second_copy(tmp_path: Path) -> None:
    """Positive control: two copies at one time are told, as long as a child of the first lives."""
    script, witness = tmp_path / "worker.py", tmp_path / "witness"
    script.write_text(WORKER)
    argv = command(script, tmp_path / "lock", witness, f"control-{os.getpid()}")
    first = subprocess.Popen(argv, start_new_session=True)
    eventually(lambda: witness.exists() and len(marked(argv[-1])) == 2)
    first.kill()
    first.wait()
    second = subprocess.Popen(argv, start_new_session=True)
    eventually(lambda: len(witness.read_text().splitlines()) == 2)
    for group in (first.pid, second.pid):
        os.killpg(group, 9)
    second.wait()
    assert [line.split()[0] for line in witness.read_text().splitlines()] == ["alone", "overlap"]


def test_a_storm_of_commands_never_makes_two_copies_and_the_last_one_wins(server: Server, tmp_path: Path) -> None:
    script, witness, mark = tmp_path / "worker.py", tmp_path / "witness", f"storm-{server.port}"
    script.write_text(WORKER)
    witness.touch()
    argv = command(script, tmp_path / "lock", witness, mark)
    one = {"name": "one", "command": argv[0], "args": argv[1:], "stop": {"grace_seconds": 5}}
    server.create("storm", [one])
    seed = random.randrange(2**32)
    storm, chance = Storm(server, witness, mark, seed), random.Random(seed)
    until, rounds = time.monotonic() + SECONDS, 0
    while time.monotonic() < until:
        rounds += 1
        possible = storm.blow(rounds)
        runs = storm.settled()
        assert runs in possible, f"seed {seed}, round {rounds}: it runs: {runs}"
        verb = chance.choice(["stop", "restart"] if runs else ["stop", "start", "restart"])
        said = storm.say(verb)
        assert said is not None, f"seed {seed}, round {rounds}: {verb}: {storm.refused}"
        if verb == "stop":
            assert marked(mark) == [], f"seed {seed}: a stop is answered when nothing is left"
        assert storm.settled() is (verb != "stop"), f"seed {seed}, round {rounds}: {verb} was the last"
    assert storm.undocumented == [], f"seed {seed}"
    server.post("/api/workers/storm/one/stop")
    starts = Counter(line.split()[0] for line in witness.read_text().splitlines())
    assert starts["overlap"] == 0, f"seed {seed}: {starts}"
    print(f"\nseed {seed}, {rounds} rounds, {starts['alone']} copies one after the other, {dict(storm.answers)}")
    assert starts["alone"] > rounds and sum(storm.answers.values()) > 20 * rounds
