"""Who imports whom."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

import charlstm
from charlstm.errors import how_to_install, missing_package

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


_FORBID = """
import sys

class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {modules}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Forbid())
"""


def run_in_the_base_installation(code: str) -> subprocess.CompletedProcess[str]:
    """Run a program as if nothing were installed but what `pip install charlstm` brings without any extra."""
    there = {"charlstm", *installed_with(base_requirements())}
    modules = {
        module for module, distributions in all_modules().items() if there.isdisjoint(map(canonical, distributions))
    }
    return run_python(_FORBID.format(modules=modules) + code)


@cache
def all_modules() -> Mapping[str, Sequence[str]]:
    """Return which distributions each module that is installed is from."""
    return packages_distributions()


def base_requirements() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {canonical(requirement) for requirement in project["dependencies"]}


def canonical(requirement: str) -> str:
    """Return the name of what is required, as all ways to write it have it in common."""
    (name,) = re.findall(r"^[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_with(names: set[str]) -> set[str]:
    """Return distributions with all that they need themselves, extras left out."""
    there = {canonical(name) for names in all_modules().values() for name in names}
    found: set[str] = set()
    while new := (names & there) - found:  # some are only needed by other versions of Python
        found |= new
        needed = [line for name in new for line in requires(name) or ()]
        names = {canonical(line) for line in needed if "extra ==" not in line}
    return found


def test_the_base_installation_is_light() -> None:
    assert base_requirements() == {"httpx", "numpy", "pydantic", "websockets"}
    assert not installed_with(base_requirements()) & {"torch", "safetensors", "fastapi", "starlette", "uvicorn"}


def test_the_client_needs_no_more_than_the_base_installation() -> None:
    """Nor do the records that it answers with, and the light half of the core."""
    code = "from service.client import *; from charlstm import GateTrace, Vocabulary; print(SentimentClient.__name__)"
    result = run_in_the_base_installation(code)
    assert result.stdout == "SentimentClient\n", result.stderr


def test_a_program_in_the_base_installation_finds_what_is_not_in_it_missing() -> None:
    """Or the tests around this one would show nothing."""
    for module in ("torch", "starlette.exceptions", "pandas"):
        assert "ModuleNotFoundError" in run_in_the_base_installation(f"import {module}").stderr


@pytest.mark.parametrize("name", ["Predictor", "Artifacts", "load_artifacts", "save_artifacts"])
def test_what_needs_torch_says_which_extra_brings_it(name: str) -> None:
    code = f"""
try:
    from charlstm import {name}
except ImportError as error:
    print(type(error).__name__, error)
"""
    result = run_in_the_base_installation(code)
    expected = rf"MissingPackageError this needs \w+, which is not installed: {re.escape(how_to_install('local'))}\n"
    assert re.fullmatch(expected, result.stdout), result.stdout + result.stderr


@pytest.mark.parametrize(("room", "extra"), [("service", "serve"), ("training", "train")])
def test_a_command_says_which_extra_it_needs(room: str, extra: str) -> None:
    result = run_in_the_base_installation(f"import runpy; runpy.run_module({room!r}, run_name='__main__')")
    assert result.returncode == 2
    message = rf"charlstm: this needs \w+, which is not installed: {re.escape(how_to_install(extra))}\n"
    assert re.fullmatch(message, result.stderr), result.stderr


def test_a_fault_of_the_projects_own_is_not_taken_for_a_package_that_is_missing() -> None:
    own, foreign = (ModuleNotFoundError("", name=name) for name in ("charlstm.gone", "torch.nn"))
    assert missing_package(own, "local") is own
    assert str(missing_package(foreign, "local")).startswith("this needs torch, ")


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
