"""The files in deploy/, read."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"

Manifest = dict[str, Any]


def read_yaml(path: Path) -> Any:
    """Read a file that holds one document."""
    return yaml.safe_load(path.read_text())


def base() -> dict[str, Manifest]:
    """Read what every overlay starts from, by kind."""
    folder = KUBERNETES / "base"
    manifests = [read_yaml(folder / name) for name in read_yaml(folder / "kustomization.yaml")["resources"]]
    return {manifest["kind"]: manifest for manifest in manifests}


def container_of(manifest: Manifest) -> Manifest:
    """Return the one container that a Deployment runs."""
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    found: Manifest = container
    return found
