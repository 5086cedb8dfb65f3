"""The page at `/`, and `/embed.js` for other pages: which files they are made of, and how a browser gets them.

The files stand in the folder `page` beside this module; Plotly's JavaScript comes from the installed package of that
name. The page asks no other host for anything, and its content security policy says so. Pages of any origin may load
what `embed.js` needs; it is what anybody can read. No route of these is in the OpenAPI document: they are for people.
"""

import asyncio
import gzip
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from charlstm.plotly_assets import plotly_file
from service.accept import accepts_gzip

router = APIRouter(include_in_schema=False)

_FOLDER: Final = Path(__file__).with_name("page")
_INDEX: Final = "index.html"
_EMBED: Final = "embed.js"
_PLOTLY: Final = "plotly.min.js"
_MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_NAMES: Final = (
    _INDEX,
    "page.css",
    "icon.svg",
    "article-trace.json",
    "alignment.js",
    "api.js",
    "charts.js",
    "compare.js",
    "complaint.js",
    "download.js",
    _EMBED,
    "examples.js",
    "format.js",
    "gates.js",
    "gates-memory.js",
    "gates-style.js",
    "heat-map.js",
    "http.js",
    "letters.js",
    "live.js",
    "main.js",
    "memory.js",
    "models.js",
    "notices.js",
    "occlusion.js",
    "queue.js",
    "reach.js",
    "scale.js",
    "signals.js",
    "story.js",
    "take.js",
    "text.js",
    "theme.js",
    "ticks.js",
    "trace.js",
    "unit-view.js",
    "units.js",
    "verdict.js",
    "what-if.js",
)
_FOR_OTHER_PAGES: Final = frozenset(
    {
        _EMBED,
        "complaint.js",
        "format.js",
        "gates-memory.js",
        "gates-style.js",
        "heat-map.js",
        "http.js",
        "letters.js",
        "queue.js",
        "reach.js",
        "scale.js",
        "signals.js",
        "ticks.js",
        "trace.js",
    }
)
_EMPTY_STYLE: Final = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
_CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        f"style-src 'self' {_EMPTY_STYLE}",  # Plotly makes an empty style sheet and adds its rules to it by script
        "style-src-attr 'unsafe-inline'",  # and has an attribute on some shapes; no element of style gets in by this
        "img-src 'self' blob: data:",  # Plotly draws a heat map as an image, and a chart to be saved as another
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "Cache-Control": "no-cache",  # kept, but asked for: a new version of the service is seen at once, for one 304
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}
_HEADERS_FOR_OTHER_PAGES: Final = _HEADERS | {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


@dataclass(frozen=True)
class Content:
    """What a browser gets of a file: as it is or compressed, each under a tag of its own."""

    plain: bytes
    compressed: bytes
    digest: str


class PageFile:
    """One file of the page, read and compressed once, when it is first asked for.

    Attributes:
        media_type: Its own.
        headers: What is said of it beside.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self.media_type = _MEDIA_TYPES[path.suffix]
        self.headers = _HEADERS_FOR_OTHER_PAGES if path.name in _FOR_OTHER_PAGES else _HEADERS

    @property
    def content(self) -> Content:
        """The file's content; whoever comes while it is being read waits for it.

        Raises:
            OSError: The file cannot be read.
        """
        with self._lock:
            return self._content

    @cached_property
    def _content(self) -> Content:
        plain = self._path.read_bytes()
        return Content(plain, gzip.compress(plain, compresslevel=6, mtime=0), sha256(plain).hexdigest()[:32])


_FILES: Final = {name: PageFile(_FOLDER / name) for name in _NAMES} | {_PLOTLY: PageFile(plotly_file())}


@router.get("/")
async def page(request: Request) -> Response:
    """Answer with the page itself."""
    return await _send(_FILES[_INDEX], request)


@router.get("/embed.js")
async def embed() -> Response:
    """Say where the script is that shows answers in a page of anybody's: beside the modules that it imports."""
    headers = {**_HEADERS_FOR_OTHER_PAGES, "Location": f"page/{_EMBED}"}  # relative, to be right below any proxy's path
    return Response(status_code=307, headers=headers)


@router.get("/page/{name}")
async def page_file(name: str, request: Request) -> Response:
    """Answer with one of the files that the page is made of."""
    if (file := _FILES.get(name)) is None:
        raise HTTPException(404)
    return await _send(file, request)


async def _send(file: PageFile, request: Request) -> Response:
    try:
        content = await asyncio.to_thread(lambda: file.content)  # compressing Plotly takes a fifth of a second
    except FileNotFoundError:  # Plotly is not installed: the page says that there are no charts
        raise HTTPException(404) from None
    compressed = accepts_gzip(request.headers.getlist("accept-encoding"))
    tag = f'"{content.digest}-gzip"' if compressed else f'"{content.digest}"'
    headers = {**file.headers, "ETag": tag}
    if tag in _tags(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    if compressed:
        headers["Content-Encoding"] = "gzip"
    body = content.compressed if compressed else content.plain
    return Response(body, headers=headers, media_type=file.media_type)


def _tags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}
