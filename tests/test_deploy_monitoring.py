"""The rules do what they say, and rules, dashboard and autoscaler ask for what `/metrics` really shows."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from service.close_codes import CloseCode
from service.problems import KINDS_BY_NAME
from service.settings import Settings
from tests.deployment import DEPLOY, KUBERNETES, ROOT, base, read_yaml
from tests.served import eventually, served
from tests.service_fixtures import PATIENCE

MONITORING = DEPLOY / "monitoring"
RULES = [rule for group in read_yaml(MONITORING / "rules.yml")["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "grafana/dashboards/charlstm.json").read_text())
WORDS = {"and", "or", "unless", "bool", "by", "le", "on"}
ADDED = {"job", "instance", "namespace", "pod"}  # labels that come from Prometheus, not from the service
Exposed = Mapping[str, list[Mapping[str, str]]]


def expressions() -> dict[str, str]:
    """Collect everything that is asked of Prometheus, by where it stands."""
    found = {rule.get("alert") or rule["record"]: rule["expr"] for rule in RULES}
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.+), \w+\)", variable["query"]["query"])
            assert asked, variable["name"]
            found[f"variable {variable['name']}"] = asked[1]
    (metric,) = base()["HorizontalPodAutoscaler"]["spec"]["metrics"]
    found["autoscaler"] = metric["pods"]["metric"]["name"]
    (rule,) = read_yaml(KUBERNETES / "prometheus-adapter.yaml")["rules"]["custom"]
    found["adapter"] = rule["seriesQuery"]
    return found


def selectors(expression: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Find the metrics in an expression, each with its matchers: pairs of a label and what it is compared to."""
    bare = re.sub(r"\b(by|without|on)\s*\([^)]*\)", "", expression)
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    found = re.findall(r'(?<![\w:$"])([a-zA-Z_:][\w:]*)(?!\s*\()(?:\{([^}]*)\}|(?![\w:(]))', _outside(bare))
    matchers = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
    return [(name, matchers.findall(inside)) for name, inside in found if name not in WORDS]


def _outside(expression: str) -> str:
    """Hide braces in strings, such as those of a route, that are no end of a selector."""
    return re.sub(r'"[^"]*"', lambda match: match[0].replace("{", "<").replace("}", ">"), expression)


def grouped_by(expression: str) -> set[str]:
    return {label.strip() for labels in re.findall(r"\bby\s*\(([^)]*)\)", expression) for label in labels.split(",")}


@pytest.fixture(scope="module")
def exposed(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exposed]:
    """Ask a running service what it can be asked, and read its metrics: the labels of each sample, by name."""
    with served(tmp_path_factory.mktemp("server"), tiny_directory) as server:
        eventually(server.is_ready)
        assert server.predict().status_code == httpx.codes.OK
        assert server.predict("").status_code == httpx.codes.UNPROCESSABLE_ENTITY
        with connect(f"ws://127.0.0.1:{server.port}/gates/live", proxy=None, open_timeout=PATIENCE) as live:
            live.send(json.dumps({"back": 0, "text": "Worst"}))
            live.recv(PATIENCE)
        text = eventually(lambda: closed_session(server.get("/metrics").text))
        samples: dict[str, list[Mapping[str, str]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append(sample.labels)
        yield samples


def closed_session(text: str) -> str:
    """Return the metrics once they count the session that ended."""
    return text if "charlstm_live_closes_total{" in text else ""


@pytest.mark.parametrize(("where", "expression"), expressions().items(), ids=expressions())
def test_every_metric_and_label_that_is_asked_for_is_there(exposed: Exposed, where: str, expression: str) -> None:
    asked = selectors(expression)
    assert asked, where
    labels = set(ADDED)
    for name, matchers in asked:
        if name == "up" or name in RECORDED:
            assert {label for label, _ in matchers} <= ADDED
            continue
        assert name in exposed, f"{where} asks for {name}"
        own = {label for sample in exposed[name] for label in sample}
        assert {label for label, _ in matchers} <= own | ADDED, f"{where} asks {name} for labels that it has not"
        labels |= own
    assert grouped_by(expression) <= labels, where


@pytest.mark.parametrize(("where", "expression"), expressions().items(), ids=expressions())
def test_every_value_that_is_asked_for_can_be(where: str, expression: str) -> None:
    """A misspelt reason or code would be a curve that is always flat, and an alert that never comes."""
    known = {
        "reason": set(KINDS_BY_NAME),
        "code": {str(int(code)) for code in CloseCode},
        "process": {"main", "worker", "engine"},
        "method": {"POST"},
    }
    for _, matchers in selectors(expression):
        for label, value in matchers:
            assert value in known.get(label, {value}), where


def test_the_search_for_metrics_finds_them() -> None:
    """The tests above have something to look at: this is what the search makes of a line with everything in it."""
    line = (
        'sum by (job, le) (rate(a_total{route="/v2/{name}", status=~"5.."}[5m])) / on (job) b:c > bool 0.5 or up == 0'
    )
    assert selectors(line) == [("a_total", [("route", "/v2/<name>"), ("status", "5..")]), ("b:c", []), ("up", [])]
    assert grouped_by(line) == {"job", "le"}


@pytest.mark.parametrize(
    "command",
    ["check rules rules.yml", "test rules rules_test.yml", "check config --syntax-only prometheus.yml"],
)
def test_promtool_agrees(command: str) -> None:
    """Prometheus's own tool reads rules and configuration, and runs the rules' unit tests."""
    promtool = shutil.which("promtool")
    if promtool is None:
        missing = "no promtool is installed: `apt-get install prometheus` brings one"
        if os.environ.get("CHARLSTM_PROMTOOL_TESTS") == "required":
            pytest.fail(missing)
        pytest.skip(missing)
    said = subprocess.run([promtool, *command.split()], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr


def test_each_alert_is_seen_firing_and_silent_and_is_explained() -> None:
    seen: dict[str, set[bool]] = {name: set() for name in ALERTS}
    for case in read_yaml(MONITORING / "rules_test.yml")["tests"]:
        for check in case["alert_rule_test"]:
            seen[check["alertname"]].add(bool(check["exp_alerts"]))
    assert {name for name, outcomes in seen.items() if outcomes != {True, False}} == set()
    said = (DEPLOY / "README.md").read_text()
    assert re.findall(r"^\| `(Charlstm\w+)`", said, flags=re.MULTILINE) == list(ALERTS)
    assert {rule["labels"]["severity"] for rule in ALERTS.values()} == {"page", "ticket"}


def test_alerts_and_dashboard_know_the_limit_of_the_queue() -> None:
    limit = Settings.model_fields["max_waiting_texts"].default
    rule = ALERTS["CharlstmQueueHalfFull"]
    assert rule["expr"] == f"charlstm_waiting_texts > {limit // 2}"
    assert f"at {limit} (max_waiting_texts)" in rule["annotations"]["description"]
    (panel,) = (panel for panel in DASHBOARD["panels"] if panel["title"] == "Texts waiting, by instance")
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] == limit


def test_compose_gives_prometheus_and_grafana_the_files_that_there_are() -> None:
    services = read_yaml(ROOT / "docker-compose.yml")["services"]
    mounted = {}
    for name in ("prometheus", "grafana"):
        for volume in services[name]["volumes"]:
            source, target, *_ = volume.split(":")
            mounted[target] = source
    assert all((ROOT / source).exists() for source in mounted.values() if source.startswith("./"))
    configuration = read_yaml(MONITORING / "prometheus.yml")
    assert {ROOT / mounted[path] for path in configuration["rule_files"]} == {MONITORING / "rules.yml"}
    (job,) = configuration["scrape_configs"]
    (discovery,) = job["dns_sd_configs"]
    assert job["job_name"] == "charlstm"  # the job that the alerts ask for
    assert set(discovery["names"]) <= services.keys()
    assert discovery["port"] == Settings.model_fields["port"].default
    (provider,) = read_yaml(MONITORING / "grafana/provisioning/dashboards/charlstm.yml")["providers"]
    assert ROOT / mounted[provider["options"]["path"]] == MONITORING / "grafana/dashboards"
    (source,) = read_yaml(MONITORING / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"


def test_no_panel_covers_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
