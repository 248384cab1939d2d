"""What of a head travels between a caller and an app, and which app a request means: tables of before and after."""

import pytest

from anchor.server.ingress import heads
from anchor.server.ingress.heads import (
    SANDBOX,
    BadHead,
    body_of,
    moved_location,
    own_cookie,
    request_head,
    response_headers,
    without_our_cookies,
)
from anchor.server.ingress.hosts import Hosts, Meant

BY_HOST = Meant("shop")
BY_PATH = Meant("shop", "/apps/shop")


@pytest.mark.parametrize(
    ("host", "path", "name", "prefix"),
    [
        ("shop.apps.example.org", "/", "shop", ""),
        ("SHOP.Apps.Example.Org:5000", "/apps/other/", "shop", ""),
        ("shop.apps.localhost.:80", "/", "shop", ""),
        ("shop.apps.[::1]", "/", "shop", ""),
        ("a.b.apps.example.org", "/", None, ""),
        ("apps.example.org", "/", None, ""),
        ("shop.apps", "/", None, ""),
        ("127.0.0.1:5000", "/api/tasks", None, ""),
        ("anchor.apps.corp.example", "/api/tasks", None, ""),
        ("127.0.0.1", "/apps/shop/x", "shop", "/apps/shop"),
        ("127.0.0.1", "/apps/", None, ""),
        ("127.0.0.1", "/apps//", None, ""),
        ("127.0.0.1", "/appsshop/", None, ""),
        ("", "/", None, ""),
        ("\xff.apps.\xfe", "/", "\xff", ""),
    ],
)
def test_a_request_means_the_app_that_its_host_or_its_path_names(
    host: str, path: str, name: str | None, prefix: str
) -> None:
    hosts = Hosts("", "https://anchor.apps.corp.example")
    found = hosts.meant([(b"host", host.encode("latin-1"))], path.encode())
    assert (found and (found.name, found.prefix)) == (None if name is None else (name, prefix))


def test_with_a_domain_of_its_own_nothing_else_is_an_app() -> None:
    hosts = Hosts("apps.example.org", "http://127.0.0.1:5000")
    assert hosts.meant([(b"host", b"shop.apps.example.org")], b"/") == BY_HOST
    assert hosts.meant([(b"host", b"shop.apps.elsewhere")], b"/") is None
    assert hosts.meant([(b"host", b"apps.example.org")], b"/") is None
    assert hosts.meant([(b"host", b"a.shop.apps.example.org")], b"/") == Meant("a.shop")


def test_no_host_that_nobody_can_have_is_remembered() -> None:
    hosts = Hosts("", "http://x")
    for number in range(50):
        assert hosts.meant([(b"host", b"%d" % number * 30_000 + b".apps.x")], b"/") is None
    assert hosts._known == {}


def test_hosts_that_contradict_each_other_mean_nobody() -> None:
    hosts = Hosts("", "http://127.0.0.1")
    for pair in ([b"shop.apps.x", b"127.0.0.1"], [b"a.apps.x", b"b.apps.x"], [b"a.apps.x", b"a.apps.x"]):
        with pytest.raises(ValueError, match="Host"):
            hosts.meant([(b"host", one) for one in pair], b"/")
    assert hosts.meant([], b"/") is None


def head_of(*headers: tuple[bytes, bytes], client: str = "203.0.113.9", meant: Meant = BY_HOST) -> bytes:
    given = [(b"host", b"shop.apps.x"), *headers]
    return request_head("GET", b"/x?y=1", given, meant, scheme="http", client=client)


def test_an_app_is_told_who_asks_and_under_which_name() -> None:
    assert head_of((b"accept", b"*/*")) == (
        b"GET /x?y=1 HTTP/1.1\r\naccept: */*\r\nhost: shop.apps.x\r\nx-forwarded-host: shop.apps.x\r\n"
        b"x-forwarded-proto: http\r\nx-forwarded-for: 203.0.113.9\r\n\r\n"
    )
    assert b"x-forwarded-prefix: /apps/shop\r\n" in head_of(meant=BY_PATH)


@pytest.mark.parametrize(
    "header",
    [
        (b"connection", b"keep-alive"),
        (b"te", b"trailers"),
        (b"expect", b"100-continue"),
        (b"proxy-authorization", b"Basic x"),
        (b"upgrade", b"h2c"),
        (b"http2-settings", b"AAA"),
        (b"transfer-encoding", b"chunked"),
        (b"content-length", b"5"),
        (b"x-forwarded-for", b"10.0.0.1"),
        (b"x_forwarded_for", b"10.0.0.1"),
        (b"x-forwarded-prefix", b"/admin"),
        (b"forwarded", b"for=10.0.0.1"),
        (b"x-real-ip", b"10.0.0.1"),
        (b"authorization", b"Bearer anc_secret"),
        (b"authorization", b"bearer ancn_node.1.x"),
        (b"cookie", b"__Host-anchor-session=secret"),
    ],
)
def test_what_is_ours_or_between_two_machines_never_reaches_an_app(header: tuple[bytes, bytes]) -> None:
    assert head_of(header) == head_of()


def test_what_a_caller_names_in_connection_is_not_passed_on() -> None:
    assert head_of((b"connection", b"close, X-Secret"), (b"x-secret", b"1")) == head_of()
    assert b"cookie: a=1" in head_of((b"connection", b"cookie"), (b"cookie", b"a=1"))


def test_a_proxy_on_this_machine_is_believed_about_its_caller_and_nobody_else_is() -> None:
    told = ((b"x-forwarded-for", b"198.51.100.7"), (b"x-forwarded-proto", b"https"))
    here, elsewhere = head_of(*told, client="127.0.0.1"), head_of(*told)
    assert b"x-forwarded-for: 198.51.100.7, 127.0.0.1\r\n" in here
    assert b"x-forwarded-proto: https\r\n" in here
    assert elsewhere == head_of()


def test_an_app_keeps_its_own_cookies_and_credentials() -> None:
    assert without_our_cookies(b"a=1; __Host-anchor=x; b=2; anchor_session=y") == b"a=1; b=2"
    assert b"authorization: Bearer theirs\r\n" in head_of((b"authorization", b"Bearer theirs"))


def test_a_head_too_large_is_refused() -> None:
    with pytest.raises(BadHead):
        head_of(*[(b"x", b"1")] * heads.REQUEST_HEADERS_MAX)
    with pytest.raises(BadHead):
        head_of((b"x", bytes(heads.HEAD_BYTES_MAX)))


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
        [(b"content-length", b"1"), (b"content-length", b"2")],
        [(b"content-length", b"+1")],
        [(b"content-length", b"")],
        [(b"content-length", b"9" * 30)],
        [(b"transfer-encoding", b"gzip, chunked")],
        [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"identity")],
    ],
)
def test_a_body_with_two_meanings_has_none(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(BadHead):
        body_of(headers)


def test_a_body_has_a_length_or_comes_in_chunks() -> None:
    assert body_of([(b"content-length", b"12")]) == (12, False)
    assert body_of([(b"transfer-encoding", b"Chunked")]) == (None, True)
    assert body_of([(b"accept", b"*/*")]) == (None, False)


@pytest.mark.parametrize(
    ("given", "by_host", "by_path"),
    [
        (b"a=b", b"a=b", b"a=b; Path=/apps/shop/"),
        (b"a=b; Path=/x; HttpOnly", b"a=b; Path=/x; HttpOnly", b"a=b; HttpOnly; Path=/apps/shop/x"),
        (b"a=b; domain=example.org; Secure", b"a=b; Secure", b"a=b; Secure; Path=/apps/shop/"),
        (b"a=b; Path=/apps/shop/x", b"a=b; Path=/apps/shop/x", b"a=b; Path=/apps/shop/x"),
        (b"a=b; Path=/apps/shopping", b"a=b; Path=/apps/shopping", b"a=b; Path=/apps/shop/apps/shopping"),
        (b"__Host-x=1; Path=/; Secure", b"__Host-x=1; Path=/; Secure", b""),
        (b"__Host-anchor=1", b"", b""),
        (b"__Secure-Anchor=1", b"", b""),
        (b"anchor-session=1", b"", b""),
    ],
)
def test_a_cookie_of_an_app_reaches_nobody_else(given: bytes, by_host: bytes, by_path: bytes) -> None:
    assert own_cookie(given, b"") == by_host
    assert own_cookie(given, b"/apps/shop") == by_path


@pytest.mark.parametrize(
    ("given", "moved"),
    [
        (b"/login", b"/apps/shop/login"),
        (b"/", b"/apps/shop/"),
        (b"/apps/shop/x", b"/apps/shop/x"),
        (b"next", b"next"),
        (b"?page=2", b"?page=2"),
        (b"//elsewhere/x", b"//elsewhere/x"),
        (b"https://elsewhere/x", b"https://elsewhere/x"),
        (b"http://Server:5000/x", b"http://Server:5000/apps/shop/x"),
        (b"https://server:5000", b"https://server:5000/apps/shop/"),
        (b"http://server:5000.evil/x", b"http://server:5000.evil/x"),
    ],
)
def test_a_redirect_below_a_path_stays_below_it(given: bytes, moved: bytes) -> None:
    assert moved_location(given, b"/apps/shop", b"server:5000") == moved


def test_below_a_path_an_app_speaks_for_itself_and_not_for_the_server() -> None:
    given = [
        (b"content-type", b"text/html"),
        (b"clear-site-data", b"*"),
        (b"service-worker-allowed", b"/"),
        (b"strict-transport-security", b"max-age=1"),
        (b"alt-svc", b"h3=:1"),
        (b"connection", b"x-hop"),
        (b"x-hop", b"1"),
        (b"transfer-encoding", b"chunked"),
    ]
    assert response_headers(given, BY_PATH) == [(b"content-type", b"text/html"), (b"content-security-policy", SANDBOX)]
    assert b"allow-same-origin" not in SANDBOX
    assert response_headers(given, BY_HOST) == given[:4]


def test_a_page_in_the_sandbox_may_read_its_own_app_unless_that_said_otherwise() -> None:
    allowed = (b"access-control-allow-origin", b"null")
    assert allowed in response_headers([], BY_PATH, origin=b"null")
    assert allowed not in response_headers([], BY_PATH, origin=b"https://elsewhere")
    assert allowed not in response_headers([], BY_HOST, origin=b"null")
    own = (b"access-control-allow-origin", b"https://friend")
    assert [one for one in response_headers([own], BY_PATH, origin=b"null") if one[0] == own[0]] == [own]


@pytest.mark.parametrize("header", [(b"a b", b"1"), (b"", b"1"), (b"a", b"1\r\nb: 2"), (b"a", b"\x00"), (b"a{", b"1")])
def test_a_header_that_others_may_read_differently_is_no_answer(header: tuple[bytes, bytes]) -> None:
    if header[0] == b"":
        header = (b"\x7f", b"1")
    with pytest.raises(BadHead):
        response_headers([header], BY_HOST)
