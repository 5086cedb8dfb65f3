"""`python -m service`."""

import sys

from charlstm.errors import missing_package

try:
    from service.cli import cli
except ModuleNotFoundError as error:
    print(f"charlstm: {missing_package(error, 'serve')}", file=sys.stderr)  # noqa: T201  a command speaks to its user
    sys.exit(2)

cli(prog_name="python -m service")
