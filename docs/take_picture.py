"""Takes the picture of the page: `.venv/bin/python docs/take_picture.py http://localhost:8000 docs/page.png`."""

import shutil
import sys

from playwright.sync_api import sync_playwright

TEXT = "I hated the old map but I love the new one"
WIDTH, HEIGHT = 1360, 1700


def take_picture(url: str, path: str) -> None:
    """Type a text into the page of a running service, point at a character, and save what is to be seen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(url)
        page.wait_for_selector("#connection[data-state=open]")
        page.locator("#text").press_sequentially(TEXT, delay=20)
        page.wait_for_timeout(3000)  # for the charts, which are drawn when there is time
        page.evaluate("document.activeElement.blur()")
        page.hover(f".letter >> nth={TEXT.index('love')}")
        page.wait_for_timeout(500)
        page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    take_picture(*sys.argv[1:])
