"""`python -m training`."""

import sys

from charlstm.errors import missing_package

try:
    from training.cli import main
except ModuleNotFoundError as error:
    print(f"charlstm: {missing_package(error, 'train')}", file=sys.stderr)  # noqa: T201  a command speaks to its user
    sys.exit(2)

main()
