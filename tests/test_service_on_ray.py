"""The service on Ray Serve, as deploy/ray/serve.yaml has it, on a real cluster of this machine."""

import asyncio
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI
from pydantic import ValidationError
from ray import serve
from ray.serve.schema import ServeDeploySchema
from ray.serve.scripts import cli

from charlstm import Predictor
from service.client import SentimentClient
from service.client.errors import SessionEndedError
from service.errors import NotReadyError, StartupError
from service.on_ray import NAME, Replica, application
from service.settings import Settings
from service.supervisor import _STOP_WITHIN
from tests.deployment import DEPLOY, read_yaml
from tests.ray_cluster import ray_cluster
from tests.served import eventually as found_within
from tests.served import free_port
from tests.service_fixtures import assert_problem, engine_thread, until
from tests.tiny import TEXTS, tiny_artifacts

CONFIG = DEPLOY / "ray/serve.yaml"
PATIENCE = 240.0  # seconds: on a machine that is busy, a replica takes its time
CLIENTS = 4
PAUSE = 0.2  # seconds between two requests of a client, for new replicas need the processor as well


def eventually(found: Callable[[], object]) -> None:
    found_within(found, PATIENCE, pause=0.3)


class Cluster:
    """The committed configuration, deployed; but on few cores, and with less patience."""

    def __init__(self, folder: Path) -> None:
        self._config = read_yaml(CONFIG)
        self._path = folder / "serve.yaml"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._config["http_options"] |= {"host": "127.0.0.1", "port": port}
        (self._application,) = self._config["applications"]
        (deployment,) = self._application["deployments"]
        deployment["ray_actor_options"]["num_cpus"] = 0.1
        deployment |= {
            "health_check_period_s": 1,
            "health_check_timeout_s": PATIENCE,
            "graceful_shutdown_timeout_s": 5,
            "graceful_shutdown_wait_loop_s": 0.5,
        }

    def deploy(self, artifacts: Path) -> None:
        """Run the configuration with other artifacts."""
        self._application["args"] |= {"artifacts": str(artifacts), "device": "cpu", "deadline_seconds": PATIENCE}
        self._path.write_text(yaml.safe_dump(self._config))
        cli.main(["run", str(self._path), "--non-blocking"], standalone_mode=False)

    def until_running(self) -> None:
        eventually(lambda: serve.status().applications[NAME].status == "RUNNING")

    def pids(self, process: str) -> set[int]:
        """Return the process ids of the two replicas (`main`), or of their engines."""
        pattern = re.compile(rf'process_open_fds{{pid="(\d+)",process="{process}"}}')
        found: set[int] = set()

        def both() -> bool:
            found.update(map(int, pattern.findall(httpx.get(f"{self.url}/metrics", timeout=PATIENCE).text)))
            return len(found) >= 2

        eventually(both)
        return found


class Load:
    """Clients that ask on and on, and what they were answered."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stopping = threading.Event()
        self._answers: list[tuple[str, httpx.Response]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask meanwhile, and for a little before and after."""
        threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            self.go_on()
            yield
            self.go_on()
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def go_on(self) -> None:
        enough = len(self._answers) + 5 * CLIENTS
        eventually(lambda: len(self._answers) >= enough)

    def failures(self, *predictors: Predictor) -> list[httpx.Response]:
        """See that each prediction is what the model that it names says; return the answers that are none."""
        by_version = {predictor.artifacts.version: predictor for predictor in predictors}
        served = [(text, answer) for text, answer in self._answers if answer.status_code == 200]
        for text, answer in served:
            (expected,) = by_version[answer.json()["model"]["version"]].predict([text])
            found = answer.json()["probabilities"]["negative"]
            assert found == pytest.approx(expected.probability_negative, abs=1e-5)
        assert served
        return [answer for _, answer in self._answers if answer.status_code != 200]

    def _ask(self, number: int) -> None:
        with httpx.Client(base_url=self._url, timeout=PATIENCE) as client:
            asked = number
            while not self._stopping.wait(PAUSE):
                text = f"{TEXTS[asked % len(TEXTS)]} {asked}"
                self._answers.append((text, client.post("/predict", json={"text": text})))
                asked += CLIENTS


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifacts(tmp_path_factory.mktemp("model") / "artifacts")


@pytest.fixture(scope="module")
def predictor(artifacts: Path) -> Predictor:
    return Predictor.load(artifacts, device="cpu")


@pytest.fixture(scope="module")
def cluster(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Deploy two replicas; every test leaves as many behind."""
    with ray_cluster(cores=1):
        cluster = Cluster(tmp_path_factory.mktemp("config"))
        cluster.deploy(artifacts)
        cluster.until_running()
        yield cluster


def test_the_answers_are_those_of_the_service(cluster: Cluster, predictor: Predictor) -> None:
    """Predictions, traces, problems and their ids come through Ray's proxy as they are."""
    with SentimentClient(cluster.url) as client:
        (expected,) = predictor.predict(["Worst"])
        assert client.predict("Worst").probabilities.negative == pytest.approx(expected.probability_negative, abs=1e-5)
        assert client.trace("Worst").tokens == predictor.trace("Worst").tokens
    refused = httpx.post(
        f"{cluster.url}/predict", json={"text": ""}, headers={"X-Request-ID": "mine"}, timeout=PATIENCE
    )
    assert_problem(refused, 422, "empty-text")
    assert refused.headers.get_list("x-request-id") == ["mine"]


def test_a_live_session_answers_while_one_types(cluster: Cluster, predictor: Predictor) -> None:
    with SentimentClient(cluster.url) as client, client.live() as session:
        session.type("I hat")
        session.type("ve it", back=1)
        assert session.whole is not None
        (expected,) = predictor.predict(["I have it"])
        assert session.whole.probability_so_far[-1] == pytest.approx(expected.probability_negative, abs=1e-5)


def test_a_replica_that_is_killed_costs_only_what_can_be_asked_again_and_is_replaced(
    cluster: Cluster, predictor: Predictor
) -> None:
    """Nothing it was asked is answered wrongly, and its engine goes with it."""
    before, engines = cluster.pids("main"), cluster.pids("engine")
    load = Load(cluster.url)
    with load.running():
        os.kill(min(before), signal.SIGKILL)
        load.go_on()
        eventually(lambda: len(cluster.pids("main") - before) == 1)
    for answer in load.failures(predictor):
        assert_problem(answer, 503, "engine-lost")
        assert answer.headers["retry-after"] == "1"
    eventually(lambda: len(engines & cluster.pids("engine")) == 1)
    assert sum(Path(f"/proc/{pid}").exists() for pid in engines) == 1


def test_a_replica_whose_engine_does_not_come_back_is_replaced(
    cluster: Cluster, artifacts: Path, predictor: Predictor
) -> None:
    """Meanwhile it says that it is not ready, and the other one answers."""
    before, engine = cluster.pids("main"), min(cluster.pids("engine"))
    (broken,) = (pid for pid in before if str(engine) in children(pid))
    load = Load(cluster.url)
    with load.running():
        artifacts.rename(artifacts.with_name("away"))
        os.kill(engine, signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{broken}").exists())
        artifacts.with_name("away").rename(artifacts)
        eventually(lambda: len(cluster.pids("main") - before) == 1)
    for answer in load.failures(predictor):
        assert answer.status_code == 503
        assert answer.json()["type"] in {"/problems/not-ready", "/problems/engine-lost"}


def children(pid: int) -> list[str]:
    return [child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def test_a_new_model_rolls_through_without_a_failed_request(
    cluster: Cluster, predictor: Predictor, tmp_path: Path
) -> None:
    """A live session stays with its replica as long as that may take to stop, and hears that it is over."""
    new = tiny_artifacts(tmp_path / "new", seed=1)
    load = Load(cluster.url)
    with SentimentClient(cluster.url) as client, client.live() as session:
        session.type("I like")
        with load.running():
            cluster.deploy(new)
            cluster.until_running()
        newer = Predictor.load(new, device="cpu")
        assert client.predict("Worst").model.version == newer.artifacts.version
        assert load.failures(predictor, newer) == []
        with pytest.raises(SessionEndedError, match="1012"):
            eventually(lambda: session.type("!") is None)


# Without a cluster


@contextmanager
def started(**settings: Any) -> Iterator[tuple[Replica, FastAPI, asyncio.Runner]]:
    """Start a replica as Ray does."""
    with asyncio.Runner() as runner:
        replica = Replica({"device": "cpu", "threads": 1} | settings)
        app = replica.__serve_build_asgi_app__()
        lifespan = app.router.lifespan_context(app)
        runner.run(lifespan.__aenter__())
        try:
            yield replica, app, runner
        finally:
            runner.run(lifespan.__aexit__(None, None, None))


def test_a_replica_is_well_once_there_is_a_model_and_not_while_there_is_no_engine(
    artifacts: Path, tmp_path: Path
) -> None:
    path = tmp_path / "engine.sock"
    with started(engine_socket=path) as (replica, app, runner):
        with engine_thread(artifacts, path):
            runner.run(replica.check_health())
            assert app.state.inference.ready
        runner.run(until(lambda: not app.state.inference.ready))
        with pytest.raises(NotReadyError):
            runner.run(replica.check_health())


def test_a_replica_without_a_model_does_not_start_and_says_why(tmp_path: Path) -> None:
    with started(artifacts=tmp_path) as (replica, _, runner), pytest.raises(StartupError, match=r"config\.json"):
        runner.run(replica.check_health())


def test_a_setting_that_is_wrong_is_refused_before_anything_is_deployed() -> None:
    with pytest.raises(ValidationError, match="treads"):
        application({"treads": 1})


def test_the_configuration_is_rays_and_fits_the_service() -> None:
    """Each field is one that Ray knows, and a replica has longer to stop than its requests and its engine take."""
    config = ServeDeploySchema.model_validate(read_yaml(CONFIG))
    (app,) = config.applications
    assert app.import_path == f"{application.__module__}:{application.__name__}"
    settings = Settings.model_validate(app.args)
    (deployment,) = read_yaml(CONFIG)["applications"][0]["deployments"]
    assert deployment["name"] == NAME
    assert deployment["graceful_shutdown_timeout_s"] > settings.deadline_seconds + _STOP_WITHIN
    assert settings.threads is not None
    assert deployment["ray_actor_options"]["num_cpus"] == settings.threads + 1
    scaling = deployment["autoscaling_config"]
    most = deployment["max_ongoing_requests"]
    assert scaling["target_ongoing_requests"] < most - settings.max_live_sessions
    assert most < settings.max_waiting_texts
    for name, written in (("http_options", config.http_options), ("deployments", app.deployments[0])):
        given = read_yaml(CONFIG)["http_options"] if name == "http_options" else deployment
        assert given.keys() <= type(written).model_fields.keys()
