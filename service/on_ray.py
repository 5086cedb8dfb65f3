"""The service on many machines: the same application in replicas of Ray Serve, each with an engine of its own.

`service.on_ray:application` is what a configuration of Ray Serve imports; its `args` are settings. Ray runs the
application's lifespan in each replica, so its engine starts and ends with it. If a replica is killed, its engine ends
by itself.
"""

import asyncio
from typing import Any, Final

from fastapi import FastAPI
from ray import serve

from service import logs
from service.app import create_app
from service.errors import NotReadyError
from service.inference import Inference
from service.settings import Settings

NAME: Final = "charlstm"


class Replica:
    """One process that answers, as Ray Serve wants it.

    Args:
        settings: Those of the service that are not as its environment or the defaults have them. The address and
            whatever else concerns connections is Ray's.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = Settings.model_validate(settings)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Build the application, in the replica; Ray then starts it up."""
        logs.configure(self._settings.log_level, self._settings.log_format)
        self._application = create_app(self._settings)
        return self._application

    async def check_health(self) -> None:
        """Tell Ray that all is well, once there is a model; Ray asks before it sends anybody here, and then on and on.

        Raises:
            StartupError: There will be no model.
            NotReadyError: There is no engine at the moment. Ray replaces a replica that says so three times.
        """
        inference: Inference = self._application.state.inference
        await asyncio.shield(inference.loading)
        if not inference.ready:
            raise NotReadyError


def application(args: dict[str, Any]) -> serve.Application:
    """Make what Ray Serve deploys; how many replicas there are, and where, is for its configuration to say.

    Args:
        args: Settings, as for `Replica`.

    Raises:
        ValidationError: One of them is wrong.
    """
    Settings.model_validate(args)
    deployment: serve.Deployment = serve.deployment(name=NAME)(serve.ingress()(Replica))
    return deployment.bind(args)
