"""Clients that generators make from the service's OpenAPI document, as users do."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests import npm

TYPESCRIPT: Final = Path(__file__).with_name("typescript")
_SECONDS: Final = 240.0


def python_client(document: dict[str, Any], folder: Path) -> Path:
    """Generate a client for Python, without a single warning; return the folder to import `charlstm_client` from."""
    described, settings, project = folder / "openapi.json", folder / "settings.json", folder / "project"
    described.write_text(json.dumps(document))
    settings.write_text(json.dumps({"post_hooks": []}))  # which would format it
    flags = ("--path", described, "--config", settings, "--output-path", project, "--fail-on-warning")
    said = _run(sys.executable, "-m", "openapi_python_client", "generate", *flags, folder=folder)
    assert "warning" not in said.lower(), said
    return project


def typescript_program(document: dict[str, Any], program: str, folder: Path) -> Path:
    """Generate types, compile a program that imports them from `./charlstm.js`, and return what node can run.

    Without npm or its registry the test is skipped, or fails; see `npm`.
    """
    packages = npm.packages(TYPESCRIPT)
    (folder / "node_modules").symlink_to(packages)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "program.ts").write_text(program)
    flags = ("--default-non-nullable", "false", "--output", "charlstm.d.ts")
    _run("node", packages / "openapi-typescript" / "bin" / "cli.js", "openapi.json", *flags, folder=folder)
    compiler = packages / "typescript" / "bin" / "tsc"
    checks = ("--strict", "--noUncheckedIndexedAccess", "--noEmitOnError")
    kind = ("--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom")
    _run("node", compiler, *checks, *kind, "program.ts", folder=folder)
    return folder / "program.js"


def run_program(program: Path) -> str:
    """Run it in node, and return what it prints."""
    return _run("node", program, folder=program.parent)


def _run(*command: str | Path, folder: Path) -> str:
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr
