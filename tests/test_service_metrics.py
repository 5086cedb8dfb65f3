"""`/metrics`: what is counted, under which names."""

import contextlib
import re
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.parser import text_string_to_metric_families

from service.close_codes import CloseCode
from service.errors import DeadlineError, OverloadedError
from service.exchange import Exchange
from service.metrics import Metrics
from service.session_watch import ClosedWebSocket
from service.workers import FIGURES_VARIABLE
from tests.service_fixtures import JSON
from tests.stub_service import figures, stubbed

ASKED = {"text": "Worst"}


def test_requests_are_counted_by_route_method_and_status() -> None:
    with stubbed() as (client, _):
        for path in ("/problems/not-ready", "/problems/not-found", "/nowhere", "/elsewhere"):
            client.get(path)
        client.post("/predict", ASKED)
        found = figures(client)
    requests = 'charlstm_http_requests_total{method="%s",route="%s",status="%d"}'
    assert found[requests % ("GET", "/problems/{name}", 200)] == 2
    assert found[requests % ("GET", "other", 404)] == 2
    assert found[requests % ("POST", "/predict", 200)] == 1
    assert found['charlstm_http_request_duration_seconds_count{route="/predict"}'] == 1


def test_the_stages_of_an_answer_are_counted_in_seconds() -> None:
    with stubbed() as (client, _):
        client.post("/predict", ASKED)
        client.post("/predict/batch", {"texts": ["a", "b"]})
        found = figures(client)
    for stage, seconds in (("queue", 0.002), ("inference", 0.04)):
        assert found[f'charlstm_stage_duration_seconds_count{{stage="{stage}"}}'] == 2
        assert found[f'charlstm_stage_duration_seconds_sum{{stage="{stage}"}}'] == pytest.approx(seconds)
    assert found['charlstm_stage_duration_seconds_count{stage="serialization"}'] == 2


def test_refusals_are_counted_by_the_kind_of_problem() -> None:
    with stubbed(max_body_bytes=100) as (client, inference):
        client.post("/predict", {"text": 5})
        client.post("/predict", {"text": "x" * 200})
        for error in (OverloadedError(2.5), OverloadedError(2.5), DeadlineError(), RuntimeError()):
            inference.error = error
            client.post("/predict", ASKED)
        found = figures(client)
    reasons = {name: value for name, value in found.items() if name.startswith("charlstm_refusals_total")}
    assert reasons == {
        'charlstm_refusals_total{reason="invalid-request"}': 1,
        'charlstm_refusals_total{reason="body-too-large"}': 1,
        'charlstm_refusals_total{reason="overloaded"}': 2,
        'charlstm_refusals_total{reason="deadline-exceeded"}': 1,
        'charlstm_refusals_total{reason="internal-error"}': 1,
    }


def test_each_close_code_of_ours_has_a_series_and_all_others_share_one() -> None:
    with stubbed() as (client, _):
        metrics = client.app.state.metrics
        for code in (403, *CloseCode, 3000, 4999):
            metrics.session_opened()
            metrics.session_closed(ClosedWebSocket("/gates/live", "/gates/live", code, 1.0, 0, None))
        found = figures(client)
    series = {name: value for name, value in found.items() if name.startswith("charlstm_live_closes_total")}
    expected = {f'charlstm_live_closes_total{{code="{code:d}"}}': 1 for code in (403, *CloseCode)}
    assert series == expected | {'charlstm_live_closes_total{code="other"}': 2}


def test_the_engine_is_described_by_what_it_says_of_itself() -> None:
    with stubbed() as (client, _):
        found = figures(client)
    assert {
        name: found[name] for name in found if re.match("charlstm_(waiting|seated|batch|tokens|padding)", name)
    } == {
        "charlstm_waiting_texts": 3,
        "charlstm_waiting_tokens": 40,
        "charlstm_seated_texts": 2,
        "charlstm_batch_texts_count": 10,
        "charlstm_batch_texts_sum": 60,
        "charlstm_batch_seats_count": 10,
        "charlstm_batch_seats_sum": 80,
        "charlstm_batch_steps_count": 10,
        "charlstm_batch_steps_sum": 100,
        "charlstm_tokens_total": 600,
        "charlstm_padding_tokens_total": 200,
        "charlstm_padding_ratio": 0.25,
    }
    assert found['charlstm_model_info{device="cpu",name="tiny",precision="float32",version="old"}'] == 1
    assert found["charlstm_ready"] == 1


def test_figures_are_there_without_an_engine() -> None:
    with stubbed() as (client, inference):
        inference.statistics, inference.ready = None, False
        found = figures(client)
    assert found["charlstm_ready"] == 0
    assert "charlstm_tokens_total" not in found


def test_a_worker_that_has_only_just_begun_to_count_does_not_cost_the_figures_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a moment its file is there and empty."""
    key = mmap_key("charlstm_connections_cut", "charlstm_connections_cut_total", ["awaited"], ["answer"], "Help.")
    with contextlib.closing(MmapedDict(tmp_path / "counter_1.db")) as counted:  # type: ignore[no-untyped-call]  # no types
        counted.write_value(key, 3.0, 0.0)  # type: ignore[no-untyped-call]  # likewise
    (tmp_path / "counter_2.db").touch()
    monkeypatch.setenv(FIGURES_VARIABLE, str(tmp_path))
    with stubbed() as (client, _):
        found = figures(client)
    assert found['charlstm_connections_cut_total{awaited="answer"}'] == 3


def test_the_process_is_described_as_prometheus_does() -> None:
    with stubbed() as (client, _):
        found = figures(client)
    (memory,) = (value for name, value in found.items() if name.startswith("process_resident_memory_bytes{"))
    assert memory > 1e6


def test_an_answer_is_text_that_prometheus_reads_or_openmetrics_where_that_is_asked_for() -> None:
    with stubbed() as (client, _):
        plain = client.get("/metrics")
        modern = client.request("GET", "/metrics", headers={**JSON, "Accept": "application/openmetrics-text"})
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert {family.name for family in text_string_to_metric_families(plain.text)} >= {"charlstm_ready"}
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    assert modern.text.endswith("# EOF\n")


@pytest.mark.parametrize("accept", ['application/openmetrics-text; version="1.0.0"', "text/plain;version=x"])
def test_a_version_that_is_no_number_gets_what_everybody_gets(accept: str) -> None:
    """A quoted value is as HTTP has it."""
    with stubbed() as (client, _):
        answer = client.request("GET", "/metrics", headers={**JSON, "Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")


def test_methods_that_nobody_knows_do_not_multiply_the_series() -> None:
    metrics = Metrics()
    for number in range(20):
        metrics(Exchange(f"M{number}", "/", "other", 405, 0.1, b"", None, None, b""))
    assert len(metrics._children) == 0
    (family,) = (family for family in metrics._registry.collect() if family.name == "charlstm_http_requests")
    (sample,) = (sample for sample in family.samples if sample.name.endswith("_total"))
    assert (sample.labels["method"], sample.value) == ("other", 20)
