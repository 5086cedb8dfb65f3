"""The built wheel: what a person gets who installs the package instead of cloning it."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_holds_the_three_rooms_their_types_and_the_licence(tmp_path: Path) -> None:
    """Every file of the three rooms is in the wheel, type markers and the page too, and nothing else but metadata."""
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", str(tmp_path)]
    finished = subprocess.run([*build, str(ROOT)], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    rooms = ("charlstm", "service", "training")
    files = [path.relative_to(ROOT) for room in rooms for path in (ROOT / room).rglob("*") if path.is_file()]
    expected = {str(file) for file in files if "__pycache__" not in file.parts}
    assert {*(f"{room}/py.typed" for room in rooms), "service/page/index.html"} <= expected
    assert expected == {name for name in names if ".dist-info/" not in name}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_whatever_make_installs_is_enough_to_serve() -> None:
    """Its recipe notes that the service is installed, so `make serve` adds nothing, whatever came before."""
    makefile = (ROOT / "Makefile").read_text()
    assert "touch .venv/serve.stamp" in makefile
    (installed,) = re.findall(r"--editable '\.\[(.+?)\]'", makefile)
    assert "serve" in installed.split(",")
