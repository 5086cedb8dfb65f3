"""What only whoever runs the service may ask for, with a key of its own."""

import re
from pathlib import PurePath

from fastapi import APIRouter, Request

from service.answers import served_name
from service.contract import problem_answers
from service.errors import ReloadRefusedError
from service.routes import Model
from service.schemas import ReloadResponse
from service.settings import Settings

router = APIRouter(prefix="/admin", tags=["operations"])

_FOLDERS = re.compile(r"(?<![^\s'\"(])/(?:[^\s'\"/]+/)*")  # of absolute paths


@router.post(
    "/reload",
    operation_id="reload",
    summary="Serve what is in the artifacts folder now",
    responses=problem_answers("unauthorized", "reload-refused", "internal-error", "not-ready", "engine-lost"),
)
async def reload(model: Model, request: Request) -> ReloadResponse:
    """Load and verify the artifacts beside the model that serves, and switch to them at once if they are sound."""
    before = [served.version for served in model.models]
    done = await model.reload()
    if done.error is not None:
        settings: Settings = request.app.state.settings
        raise refusal(done.error, settings.artifacts)
    models = [served_name(served) for served in model.models]
    return ReloadResponse(version=done.versions[0], changed=done.versions != before, models=models)


def refusal(reason: str, artifacts: PurePath) -> ReloadRefusedError:
    """Turn the engine's reason, `<file>: <what>`, into an error that names the file but not where all of them are."""
    file, colon, what = reason.partition(": ")
    path = PurePath(file)
    if not colon or "/" not in file:
        name, what = "artifacts", reason
    else:
        name = str(path.relative_to(artifacts)) if path.is_relative_to(artifacts) else path.name
    return ReloadRefusedError(name, _FOLDERS.sub("", what))
