"""What tools can judge of the code: each finding fails a test."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.npm import packages

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "tool", [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)], ids=["lint", "format", "types"]
)
def test_the_tools_find_nothing(tool: tuple[str, ...]) -> None:
    result = subprocess.run([sys.executable, "-m", *tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("script", ["service/page/main.js", "service/page/embed.js", "examples/browser/main.js"])
def test_typescript_finds_nothing_in_the_pages_scripts(script: str) -> None:
    """The comments of the JavaScript say of which types everything is; what a script imports is read as well."""
    packages(ROOT / "examples/browser")  # onnxruntime-web brings its types
    compiler = packages(ROOT / "tests/typescript") / ".bin/tsc"
    flags = "--noEmit --allowJs --checkJs --strict --target es2022 --module esnext --moduleResolution bundler"
    library = ["--lib", "es2023,dom,dom.iterable"]
    command = [str(compiler), *flags.split(), *library, script]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
