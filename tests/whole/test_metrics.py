"""What workers use, over HTTP and over the life of daemons (W-23, A23)."""

import gzip
import os
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import parser
from whole.server import Server, eventually

MB = 1024 * 1024
# Holds 100 MB until that was measured, then goes on with little, with a child.
WORKER = (
    "python -c 'import os, subprocess, time; held = bytearray(100 << 20)\n"
    'while not os.path.exists("measured"): time.sleep(0.02)\n'
    'del held; open("ready", "w").close(); subprocess.run(["sleep", "600"])\''
)


def metrics(server: Server, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"/api/workers/wf/w/metrics{query}")["metrics"]
    return found


def history(server: Server, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"/api/workers/wf/w/metrics/history{query}")["history"]
    return found


def exposed(server: Server) -> dict[tuple[str, tuple[str, ...]], float]:
    """{(sample, label values by label): value}"""
    reply = server.request("GET", "/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in parser.text_string_to_metric_families(reply.body)
        for sample in family.samples
    }


@pytest.fixture
def busy(server: Server) -> Server:
    """A worker that has used much and now uses little."""
    server.run("wf", [{"name": "w", "command": WORKER}, {"name": "later", "command": "true", "depends_on": ["w"]}])
    place = Path(server.get("/api/workflows/wf")["working_dir"])
    eventually(lambda: any(point["memory_bytes"] > 100 * MB for point in history(server)["points"]))
    (place / "measured").touch()
    eventually((place / "ready").exists)
    return server


def test_a_tree_is_measured_while_it_lives_and_told_afterwards(busy: Server) -> None:
    """W-23, A23."""
    now = eventually(lambda: (found := metrics(busy, "?pss=true"))["num_processes"] == 2 and found)
    assert now["memory_bytes"] < 60 * MB < 100 * MB < now["peak_memory_bytes"]
    assert 0 < now["pss_bytes"] < 60 * MB
    assert now["attempt"] == 1 and now["cpu_seconds"] > 0 and now["read_bytes"] > 0
    eventually(lambda: len(history(busy)["points"]) >= 3)
    live = history(busy)
    assert live["live"] and max(point["memory_bytes"] for point in live["points"]) > 100 * MB
    last = live["points"][-1]["at"]
    assert all(point["at"] > last for point in history(busy, f"?since={last}")["points"])
    busy.post("/api/workflows/wf/stop")
    ended = metrics(busy)
    assert (ended["status"], ended["cpu_usage"], ended["memory_usage"]) == ("cancelled", "0.0%", "0MB")
    for name in ("cpu_seconds", "read_bytes", "peak_memory_bytes", "peak_num_processes", "peak_num_threads"):
        assert ended[name] >= now[name] > 0, name
    kept = history(busy)
    assert not kept["live"] and 3 <= len(kept["points"]) <= 60
    (attempt,) = busy.get(f"/api/runs/{kept['run_id']}")["attempts"]
    assert attempt["user_seconds"] + attempt["system_seconds"] > 0  # the keeper's account is there as before


def test_peaks_and_totals_survive_the_daemon(busy: Server) -> None:
    eventually(lambda: metrics(busy)["peak_memory_bytes"] > 100 * MB)
    before = metrics(busy)
    assert busy.end() == 0
    busy.start()
    after = eventually(lambda: (found := metrics(busy))["num_processes"] == 2 and found)
    for name in ("cpu_seconds", "read_bytes", "peak_memory_bytes"):
        assert after[name] >= before[name], name
    assert after["memory_bytes"] < 60 * MB
    assert max(point["memory_bytes"] for point in history(busy)["points"]) > 100 * MB
    busy.post("/api/workflows/wf/stop")
    assert metrics(busy)["peak_memory_bytes"] > 100 * MB


def test_prometheus_is_told_what_goes_on(busy: Server) -> None:
    eventually(lambda: exposed(busy).get(("wattle_worker_processes", ("w", "wf"))) == 2)
    found = exposed(busy)
    assert found["wattle_workers", ("running",)] == 1
    assert found["wattle_workers", ("created",)] == 1
    assert found["wattle_workflows", ("running",)] == found["wattle_runs_active", ()] == 1
    assert found["wattle_worker_memory_bytes", ("w", "wf")] > MB
    assert found["wattle_commit_seconds_count", ()] >= 1 and found["wattle_loop_turn_seconds_count", ()] >= 1
    busy.post("/api/workers/wf/w/restart")
    eventually(lambda: exposed(busy)["wattle_restarts_total", ()] == 1)
    busy.post("/api/workflows/wf/stop")
    found = exposed(busy)
    assert found["wattle_runs_total", ("workflow", "cancelled")] == 1
    assert found["wattle_attempts_total", ("cancelled",)] == 2
    assert found["wattle_attempts_total", ("completed",)] == 0
    assert found["wattle_queue_wait_seconds_count", ()] == 2
    assert found["wattle_workers", ("cancelled",)] == 2
    assert ("wattle_worker_memory_bytes", ("w", "wf")) not in found


def test_a_scrape_is_packed_for_those_who_can_unpack_it(server: Server) -> None:
    """clients.md, Prometheus: it asks with `Accept-Encoding: gzip`."""
    url, packed = f"http://127.0.0.1:{server.port}/metrics", ("gzip", "deflate, GZIP;q=0.5")
    for accepted in (*packed, "gzip;q=0, *;q=0.1", "identity", ""):
        with httpx.stream("GET", url, headers={"Accept-Encoding": accepted}, trust_env=False) as answer:
            body = b"".join(answer.iter_raw())
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.headers["content-length"] == str(len(body))
        assert {"Accept", "Accept-Encoding"} <= set(answer.headers["vary"].split(", "))
        assert answer.headers.get("content-encoding") == ("gzip" if accepted in packed else None), accepted
        text = (gzip.decompress(body) if accepted in packed else body).decode()
        assert "wattle_build_info" in {family.name for family in parser.text_string_to_metric_families(text)}
        assert accepted not in packed or len(body) < len(text) / 3


def test_an_attempt_without_its_output_counts_as_failed_once(server: Server) -> None:
    """Its process ends well; the judgement comes later."""
    server.run("wf", [{"name": "w", "command": "echo x >&2", "outputs": {"a": "a.txt", "b": "b.txt"}}])
    assert server.ended("wf") == "failed"
    found = exposed(server)
    assert [found["wattle_attempts_total", (status,)] for status in ("completed", "failed", "cancelled")] == [0, 1, 0]
    assert found["wattle_log_bytes_total", ()] == 2


def test_a_daemon_at_rest_does_not_wake_up(server: Server) -> None:
    """Nothing is sampled while nothing runs, before the first run and after the last."""
    server.run("wf", [{"name": "w", "command": "sleep 0.5"}])
    assert server.ended("wf") == "completed"

    def switches() -> int:
        count = 0
        for thread in os.listdir(f"/proc/{server.pid}/task"):
            for line in Path(f"/proc/{server.pid}/task/{thread}/status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    count += int(line.split()[1])
        return count

    def rests() -> bool:
        before = switches()
        time.sleep(3)
        return switches() == before

    assert eventually(rests, 40)
