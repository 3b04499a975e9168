"""docs/metrics.md and the Grafana dashboard against a real server."""

import json
import re
import shutil
import subprocess
import sys

import yaml

from tests.docs.documents import DOCS, blocks, examples, section, table
from tests.docs.shells import answered, compared, matches
from tests.whole.server import Server, eventually
from wattle.metrics.format import worker_metrics

PAGE = DOCS / "metrics.md"
DASHBOARD = DOCS / "grafana-dashboard.json"


def documented() -> dict[str, tuple[str, set[str]]]:
    """{metric: (type, labels)}"""
    rows = table(section(PAGE, "Prometheus"))
    return {
        name.strip("`"): (kind, {label.strip() for label in labels.split(",")} - {""}) for name, kind, labels, _ in rows
    }


def exposed(server: Server) -> str:
    text = server.request("GET", "/metrics").body
    assert isinstance(text, str)
    return text


def asked_for() -> set[str]:
    """The metrics in all queries of the dashboard, the parts of histograms by the whole."""
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [each["query"]["query"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
    return {re.sub(r"_(bucket|sum|count)$", "", name) for query in queries for name in re.findall(r"wattle_\w+", query)}


def test_the_examples_are_answered_as_shown(server: Server) -> None:
    for block, answer in examples(PAGE):
        status, body = found = answered(server, block, answer)
        if answer is None:
            assert status in (200, 201), f"{block}: {body}"
        else:
            came, said = compared(found, answer)
            assert came == said, f"{block}: {block.text}"
    scripts = {block.language: block for block in blocks(PAGE) if block.language in ("python", "js")}
    commands = {"python": [sys.executable, "-c"]}
    node = shutil.which("node")
    if node is not None:  # where it is not, the page's script is not run
        commands["js"] = [node, "--input-type=module", "-e"]
    for language, command in commands.items():
        script = scripts[language].text.replace("localhost:9240", f"localhost:{server.port}")

        def printed(command: list[str] = command, script: str = script) -> str:
            done = subprocess.run([*command, script], capture_output=True, text=True, timeout=30, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert re.match(r"\d{4}-\d\d-\d\dT\S+Z \d+(\.\d)? \d+$", eventually(printed), re.MULTILINE), language


def test_every_field_is_documented_in_its_order() -> None:
    """W-23"""
    fields = [row[0].strip("`") for row in table(section(PAGE, "One worker"))]
    assert fields == [*worker_metrics(None, status="created", runtime_seconds=None), "pss_bytes"]


def test_every_metric_is_documented_with_its_type_and_labels(server: Server) -> None:
    server.run("wf", [{"name": "w", "command": "sleep 600"}])
    text = eventually(lambda: "wattle_worker_processes{" in (found := exposed(server)) and found)
    assert isinstance(text, str)
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert types == {name: kind for name, (kind, _) in documented().items()}
    for name, (kind, labels) in documented().items():
        line = re.search(rf"^{name}{'_bucket' if kind == 'histogram' else ''}(?:{{(.*)}})? ", text, re.MULTILINE)
        assert line is not None, name
        assert set(re.findall(r'(\w+)="', line[1] or "")) - {"le"} == labels, name


def test_the_dashboard_asks_for_nothing_that_is_not_there() -> None:
    assert asked_for() <= documented().keys()
    kinds = {name: kind for name, (kind, _) in documented().items()}
    own = {name for name in kinds if not name.startswith("wattle_process")}
    assert own - asked_for() == set()
    queries = DASHBOARD.read_text()
    for name in asked_for():
        if kinds[name] == "counter":
            assert re.search(rf"(rate|increase)\({name}\b", queries), f"{name} is a counter"


def test_the_configuration_for_prometheus_is_one() -> None:
    (block,) = [block for block in blocks(PAGE) if block.language == "yaml"]
    job = yaml.safe_load(block.text)["scrape_configs"][0]
    assert job["static_configs"][0]["targets"] == ["localhost:9240"]
    assert "metrics_path" not in job  # the default, /metrics, is right


def test_a_page_that_says_something_else_would_be_found() -> None:
    """Positive control."""
    block, answer = next((block, answer) for block, answer in examples(PAGE) if answer is not None)
    assert not matches((404, "{}"), answer), block
