"""A file is fetched from the public internet only, from the address that was checked, within bounds."""

import io
import socket
import ssl
import threading
from pathlib import Path

import pytest

from feedbackhub.core.fetching import FetchRefused, fetch, is_public

CERTIFICATE = Path(__file__).parent / "pictures.example.pem"


def fetched(url, limit=1000, seconds=20.0) -> bytes:
    into = io.BytesIO()
    answer = fetch(url, into, limit_of=lambda head: limit, seconds=seconds)
    assert answer.bytes == len(into.getvalue())
    return into.getvalue()


def refused(url, **bounds) -> str:
    with pytest.raises(FetchRefused) as found:
        fetched(url, **bounds)
    return str(found.value)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "0.0.0.0",
            "100.64.0.1",
            "100.100.100.200",
        ),
        *("169.254.169.254", "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1"),
        *("255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "::7f00:1"),
        *("2001:db8::1", "2002:a00:1::1", "2001:0:a00:1::"),
    ],
)
def test_no_public_address(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0x7f.1",
        "2130706433",
        "0",
        "10.1.2.3",
    ],
)
def test_a_host_inside_is_refused_before_anything_is_sent(site, settings, host):
    settings.MEDIA_HOSTS_ALLOWED = ["127.0.0.1:9"]
    assert "not on the public internet" in refused(f"http://{host}:{site.server_port}/a")
    assert site.asked == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.org/a", 'not "ftp:"'),
        ("file:///etc/passwd", 'not "file:"'),
        ("gopher://127.0.0.1:70/_x", 'not "gopher:"'),
        ("//example.org/a", 'not ":"'),
        ("http:///a", "names no host"),
        ("http://user:secret@example.org/a", "user name or a password"),
        ("http://example.org:99999/a", "cannot be read"),
        ("http://[::1/a", "cannot be read"),
        ("http://no-such-host.invalid/a", "is not known"),
        ("http://example.org/" + "a" * 2000, "longer than"),
    ],
)
def test_an_address_that_is_none(url, why):
    assert why in refused(url)


@pytest.fixture
def names(monkeypatch):
    """names["pictures.example"] = [["10.0.0.7"]]: what the resolver says of a name, the first time, the second …"""
    known, real = {}, socket.getaddrinfo

    def resolve(host, port, *args, **kwargs):
        if host not in known:
            return real(host, port, *args, **kwargs)
        addresses = known[host].pop(0) if len(known[host]) > 1 else known[host][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return known


@pytest.mark.parametrize("addresses", [["10.0.0.7"], ["169.254.169.254"], ["93.184.216.34", "127.0.0.1"]])
def test_a_name_that_means_a_place_inside(names, addresses):
    names["pictures.example"] = [addresses]
    assert 'the host "pictures.example" is not on the public internet' in refused("http://pictures.example/a.png")


def test_the_address_that_was_checked_is_the_one_that_is_asked(site, settings, names):
    """A name that means another place the second time one asks (DNS rebinding) is not asked for a second time."""
    site.put("/a", b"picture")
    names["pictures.example"] = [["127.0.0.1"], ["10.0.0.7"]]
    settings.MEDIA_HOSTS_ALLOWED = ["pictures.example"]
    assert fetched(f"http://pictures.example:{site.server_port}/a") == b"picture"
    assert site.asked == [("/a", f"pictures.example:{site.server_port}")]


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:1/a",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/a",
        "//localhost/a",
        "file:///etc",
    ],
)
def test_a_redirect_is_checked_as_the_first_address_was(site, target):
    url = site.put("/a", status=302, Location=target)
    words = refused(url)
    assert "not on the public internet" in words or 'not "file:"' in words


def test_redirects_are_followed_and_counted(site):
    site.put("/5", b"here")
    for number in range(5):
        site.put(f"/{number}", status=301, Location=f"/{number + 1}")
    assert fetched(f"http://{site.host}/0") == b"here"
    site.put("/start", status=307, Location="/0")
    assert "more than 5 times" in refused(f"http://{site.host}/start")


def test_what_is_too_large(site):
    def endless(request):
        request.send_response(200)
        request.end_headers()
        request.close_connection = True
        try:
            while True:
                request.wfile.write(bytes(10_000))
        except OSError:
            pass

    assert "larger than" in refused(site.put("/large", bytes(1001)))
    assert "larger than" in refused(site.put("/announced", bytes(5000), Content_Length="99999999"))
    assert "larger than" in refused(site.put("/endless", endless))
    assert len(fetched(site.put("/just", bytes(1000)))) == 1000


def test_what_takes_too_long(site):
    over = threading.Event()

    def slow(request):
        """A byte now and then, so that no single read takes long."""
        request.send_response(200)
        request.flush_headers()
        request.close_connection = True
        try:
            while not over.wait(0.02):
                request.wfile.write(b"X-Slow: 1\r\n")
        except OSError:
            pass

    try:
        assert "took too long" in refused(site.put("/slow", slow), seconds=0.5)
    finally:
        over.set()


def test_what_breaks_off_is_no_file(site):
    assert "broke off" in refused(site.put("/cut", b"half", Content_Length="8", Connection="close"))
    assert "answered 404" in refused(f"http://{site.host}/none")


class TestHttps:
    @pytest.fixture
    def served(self, site, settings, names):
        """A picture by https from "pictures.example", which is this machine."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        site.socket = context.wrap_socket(site.socket, server_side=True)
        site.put("/a", b"picture")
        names["pictures.example"] = names["other.example"] = [["127.0.0.1"]]
        settings.MEDIA_HOSTS_ALLOWED = ["pictures.example", "other.example"]
        return f"https://pictures.example:{site.server_port}/a"

    def test_the_certificate_is_that_of_the_name_not_of_the_address(self, served, monkeypatch):
        assert "no valid certificate" in refused(served), "nobody vouches for it"
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        assert fetched(served) == b"picture"
        assert "no valid certificate" in refused(served.replace("pictures.", "other."))
