"""Takes the pictures of the docs from a running service: `.venv/bin/python docs/take_picture.py http://localhost:8000`."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent
TEXT = "I hated the old map but I love the new one"
BLOG = f"""<!doctype html><meta charset="utf-8"><script type="module" src="/embed.js"></script>
<style>body {{ margin: 0 1rem; font: 16px/1.5 sans-serif }}</style>
<charlstm-gates text="Worst update ever"></charlstm-gates><charlstm-gates text="{TEXT}" open></charlstm-gates>"""


def picture_of_page(page: Page, url: str, path: Path) -> None:
    """Type a text into the page, point at a character, and save what is to be seen."""
    page.set_viewport_size({"width": 1360, "height": 1700})
    page.goto(url)
    page.wait_for_selector("#connection[data-state=open]")
    page.locator("#text").press_sequentially(TEXT, delay=20)
    page.wait_for_timeout(3000)  # for the charts, which are drawn when there is time
    page.evaluate("document.activeElement.blur()")
    page.hover(f".letter >> nth={TEXT.index('love')}")
    page.wait_for_timeout(500)
    page.screenshot(path=path)


def picture_of_element(page: Page, url: str, path: Path) -> None:
    """Open a page that shows two answers, one of them with its memory, point at a cell, and save what is to be seen."""
    page.set_viewport_size({"width": 840, "height": 600})
    page.route(f"{url}/blog", lambda route: route.fulfill(body=BLOG, content_type="text/html"))
    page.goto(f"{url}/blog")
    page.wait_for_selector("charlstm-gates[open] [part=map]")
    page.wait_for_timeout(1000)  # for the map, which is drawn when it has its size
    page.hover("charlstm-gates[open] [part=map]", position={"x": 525, "y": 65})
    page.screenshot(path=path, full_page=True)


def main(url: str) -> None:
    """Take both."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for take, name in ((picture_of_page, "page.png"), (picture_of_element, "embed-web.png")):
            page = browser.new_page(color_scheme="light")
            take(page, url, FOLDER / name)
            page.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
