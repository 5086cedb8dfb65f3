"""A Ray cluster of this machine alone, for tests."""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray

ROOT = Path(__file__).parent.parent
_TOKEN = secrets.token_hex(32)  # without one, Ray would put one into the user's home; it reads it once in a process


@contextmanager
def ray_cluster(cores: int) -> Iterator[None]:
    """Start a cluster that says it has so many cores, and end it with all its processes."""
    environment = {
        "PYTHONPATH": str(ROOT),  # for whatever Ray starts, as pytest's own setting is for this process
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_TOKEN": _TOKEN,
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "service.ray_proxy:middlewares",
        # Ray's processes would give way to all other tests, and be taken for dead meanwhile.
        "RAY_worker_niceness": "0",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "240",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "240",
    }
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="ray-") as folder,  # pytest's are too long for the names of its sockets
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        ray.init(
            num_cpus=cores,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=80 << 20,
            _node_ip_address="127.0.0.2",  # for 127.0.0.1 Ray would put an address that others reach
            _temp_dir=folder,
        )
        try:
            yield
        finally:
            ray.shutdown()
