"""Origins: which are the same, and which say none."""

import pytest

from service.origins import Origin, Origins


@pytest.mark.parametrize(
    ("words", "origin"),
    [
        ("https://example.com", Origin("https", "example.com", 443)),
        ("HTTPS://Example.COM:443", Origin("https", "example.com", 443)),
        ("http://localhost:3000", Origin("http", "localhost", 3000)),
        ("http://[::1]:8000", Origin("http", "::1", 8000)),
        ("chrome-extension://abc", Origin("chrome-extension", "abc", None)),
    ],
)
def test_an_origin_is_a_scheme_a_host_and_a_port(words: str, origin: Origin) -> None:
    assert Origin.parse(words) == origin


@pytest.mark.parametrize(
    "words",
    [
        "null",
        "",
        "example.com",
        "example.com:80",
        "http://",
        "http://a/b",
        "http://a?b",
        "http://a#b",
        "http://b@a",
        "http://a:port",
        "http://a:99999",
        "http://[::1",
    ],
)
def test_anything_else_is_none(words: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Origin.parse(words)


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://a", "a", True),
        ("http://a", "A:80", True),
        ("https://a", "a", True),
        ("https://a:443", "a:443", True),
        ("http://a:8000", "a:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://a:8000", "a", False),
        ("http://a", "a:8000", False),
        ("http://a", "b", False),
        ("http://a", "a.b", False),
        ("http://a", "a:443", False),
        ("http://a", "", False),
        ("http://a", "a:port", False),
        ("http://a", "a/b", False),
    ],
)
def test_a_host_header_is_compared_with_the_port_that_it_means(origin: str, host: str, *, same: bool) -> None:
    assert Origin.parse(origin).is_at(host) == same


def test_a_set_of_origins_holds_what_it_names_or_all() -> None:
    some = Origins(" https://a , http://b:3000,")
    named = ["https://a:443", "http://b:3000", "http://a", "https://b:3000", "http://b"]
    assert [Origin.parse(words) in some for words in named] == [True, True, False, False, False]
    assert Origin.parse("http://c") in Origins("https://a, *")
    assert Origin.parse("http://c") not in Origins("")
