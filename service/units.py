"""What is known of each hidden unit: the atlas that may lie beside the model's files, and the routes that show it."""

from pathlib import Path
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query, Request
from pydantic import Field

from charlstm.atlas import ATLAS, Atlas, AtlasSource, UnitAtlas, load_atlas
from service.answers import served_name
from service.beside_model import FilesBesideModels
from service.connection import ServedModel
from service.contract import problem_answers
from service.errors import NoAtlasError, UnknownUnitError
from service.existence import check_below
from service.routes import Model, OfModel
from service.units_schemas import LayerUnits, UnitOverview, UnitResponse, UnitsResponse

_TOP_CHARACTERS = 8


def atlas_files(artifacts: Path) -> FilesBesideModels[Atlas]:
    """Find the atlases of all models that are served, by the folder of the default one."""
    return FilesBesideModels(artifacts, ATLAS, load_atlas)


class ModelAtlas(NamedTuple):
    """A model, and the atlas of this very version of it: another may be served while the file is read."""

    model: ServedModel
    atlas: Atlas


class _OfLayer(OfModel):
    """The query of a route that tells of a layer."""

    layer: int = Field(default=0, strict=False, description="Its layer, counted from 0 at the bottom.")


async def _model_atlas(request: Request, model: Model, name: str | None) -> ModelAtlas:
    """Give a model and its atlas.

    Raises:
        NoAtlasError: There is none that can be read; the log says why, if there is a file.
    """
    files: FilesBesideModels[Atlas] = request.app.state.atlases
    served = model.find(name)
    atlas = await files.of(served)
    if atlas is None:
        raise NoAtlasError
    return ModelAtlas(served, atlas)


router = APIRouter(prefix="/units", tags=["memory"])

_PROBLEMS = ("unknown-model", "no-atlas", "invalid-request", "internal-error", "not-ready")


@router.get("", operation_id="units", summary="Every hidden unit of the model", responses=problem_answers(*_PROBLEMS))
async def units(model: Model, request: Request, asked: Annotated[OfModel, Query()]) -> UnitsResponse:
    """List the units with what each of them tells, over many texts. Worked out by `python -m training atlas`."""
    served, atlas = await _model_atlas(request, model, asked.model)
    layers = [LayerUnits(layer=layer.layer, units=[_overview(unit) for unit in layer.units]) for layer in atlas.layers]
    return UnitsResponse(model=served_name(served), source=_source(atlas), layers=layers)


@router.get(
    "/{unit}",
    operation_id="unit",
    summary="One hidden unit",
    responses=problem_answers(*_PROBLEMS, "unknown-unit"),
)
async def unit_of(unit: int, model: Model, request: Request, asked: Annotated[_OfLayer, Query()]) -> UnitResponse:
    """Say what moves a unit: the characters that raise and lower its long-term memory, its gates, and what it tells."""
    served, atlas = await _model_atlas(request, model, asked.model)
    record = _find(atlas, asked.layer, unit)
    return UnitResponse(
        **dict(record),
        model=served_name(served),
        source=_source(atlas),
        layer=asked.layer,
        bin_edges=[round(2 * edge / atlas.bins - 1, 9) for edge in range(atlas.bins + 1)],
        top_characters=_top_characters(record),
    )


def _find(atlas: Atlas, layer: int, unit: int) -> UnitAtlas:
    check_below("layer", layer, len(atlas.layers), "layers of this model")
    found = atlas.layers[layer].units
    if not 0 <= unit < len(found):
        raise UnknownUnitError(len(found), unit)
    return found[unit]


def _overview(unit: UnitAtlas) -> UnitOverview:
    return UnitOverview(
        unit=unit.unit,
        separation=unit.separation,
        share_spread=unit.share_spread,
        top_characters=_top_characters(unit),
    )


def _top_characters(unit: UnitAtlas) -> str:
    effects = sorted((*unit.raised_by, *unit.lowered_by), key=lambda effect: -abs(effect.change))
    tokens = [effect.token for effect in effects[:_TOP_CHARACTERS]]
    return ("" if all(len(token) == 1 for token in tokens) else " ").join(tokens)


def _source(atlas: Atlas) -> AtlasSource:
    return AtlasSource(**{name: getattr(atlas, name) for name in AtlasSource.model_fields})
