"""Where the installed Plotly package keeps its JavaScript, for pages that are to work without a network."""

from importlib.util import find_spec
from pathlib import Path

from charlstm.errors import MissingPackageError


def plotly_file() -> Path:
    """Find Plotly's JavaScript without importing Plotly, which takes a while.

    Raises:
        MissingPackageError: Plotly is not installed.
    """
    package = find_spec("plotly")
    if package is None or not package.submodule_search_locations:
        raise MissingPackageError("plotly")
    return Path(package.submodule_search_locations[0], "package_data", "plotly.min.js")
