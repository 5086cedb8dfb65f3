"""The program `charlstm`, which an installation puts among the commands of its environment."""

import sys

from charlstm.errors import missing_package


def main() -> None:
    """Run the commands of `python -m service`; the client alone is installed without what they need."""
    try:
        from service.cli import run_completing  # noqa: PLC0415  it may fail
    except ModuleNotFoundError as error:
        sys.exit(f"charlstm: {missing_package(error, 'serve')}")
    run_completing()
