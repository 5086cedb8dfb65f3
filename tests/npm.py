"""Packages of npm, in the versions of a folder's package-lock.json, kept in its git-ignored node_modules."""

import fcntl
import shutil
import subprocess
from pathlib import Path

from tests.optional import unavailable

_SECONDS = 900.0  # for some hundred megabytes over a slow line
_FLAGS = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=20000")


def packages(folder: Path) -> Path:
    """Return the node_modules of a folder, filled; without npm or its registry, skip or fail the test."""
    npm = shutil.which("npm")
    if npm is None:
        unavailable("npm is not installed: `apt-get install npm` brings it")
    with (folder / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test files that run side by side may want the same folder
        return _filled(npm, folder)


def _filled(npm: str, folder: Path) -> Path:
    found = folder / "node_modules"
    installed = found / ".package-lock.json"  # written last
    if installed.exists() and installed.stat().st_mtime >= (folder / "package-lock.json").stat().st_mtime:
        return found
    try:
        finished = subprocess.run(
            [npm, "ci", *_FLAGS], cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        unavailable(f"npm installs nothing within {_SECONDS:.0f} seconds")
    if finished.returncode:
        unavailable(f"npm cannot install what {folder.name} needs: {finished.stderr.strip()[-500:]}")
    return found
