"""Who imports whom."""

import subprocess
import sys
from pathlib import Path

import pytest

import charlstm

ROOT = Path(__file__).parent.parent


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_import_contract_is_kept() -> None:
    """The contracts are in pyproject.toml: which room and which module may import which."""
    result = run_python("import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    "module",
    [
        "charlstm",
        "charlstm.config",
        "charlstm.encoding",
        "charlstm.errors",
        "charlstm.reference",
        "charlstm.atlas",
        "charlstm.card",
        "charlstm.figure",
        "charlstm.frame",
        "charlstm.highlight",
        "charlstm.summary",
        "charlstm.views",
        "charlstm.text",
        "charlstm.trace",
        "charlstm.vocabulary",
    ],
)
def test_a_light_module_does_not_import_torch(module: str) -> None:
    result = run_python(f"import sys, {module}; print('torch' in sys.modules, {module!r} in sys.modules)")
    assert result.stdout.split() == ["False", "True"], result.stderr


def test_the_core_does_not_import_the_other_rooms_or_their_packages() -> None:
    others = ("service", "training", "pandas", "sklearn", "matplotlib", "fastapi", "starlette", "uvicorn")
    code = f"import sys, charlstm; from charlstm import *; print([name for name in {others} if name in sys.modules])"
    result = run_python(code)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


@pytest.mark.parametrize("name", charlstm.__all__)
def test_every_public_name_is_there(name: str) -> None:
    found = getattr(charlstm, name)
    if name != "SIGNALS":
        assert found.__name__ == name
        assert found.__doc__


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'charlstm' has no attribute 'Transformer'"):
        getattr(charlstm, "Transformer")  # noqa: B009  mypy would rightly refuse the plain attribute


def test_public_names_are_listed_once_and_those_that_are_imported_on_use_are_public() -> None:
    assert sorted(charlstm._MODULE_OF) == sorted(set(charlstm.__all__))
