"""What tests need beside Python packages, and not every machine has."""

import os
from typing import NoReturn

import pytest


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it if CHARLSTM_BROWSER_TESTS is `required`."""
    if os.environ.get("CHARLSTM_BROWSER_TESTS") == "required":
        pytest.fail(reason)
    pytest.skip(reason)
