"""Debian's Chromium, for the tests that look at pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, expect, sync_playwright

from tests.optional import unavailable
from tests.service_fixtures import PATIENCE


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start it; where none is installed, skip the test, or fail it if CHARLSTM_BROWSER_TESTS is `required`."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        unavailable("no Chromium is installed: `apt-get install chromium` brings one")
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium has none for root
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=sandbox, timeout=PATIENCE * 1000)
        yield browser
        browser.close()
