"""Fetch a file that somebody named by its address, without becoming their hand inside our network.

Only http and https. The host is resolved once for each hop; every address it has must be a public one, and the
connection goes to the very address that was checked, so that a name cannot change its meaning in between. Redirects,
bytes and time are bounded. Proxies of the environment are not used: they would resolve the name anew.
"""

import hashlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO
from urllib.parse import quote, urljoin, urlsplit

from django.conf import settings

REDIRECTS_AT_MOST = 5
CONNECT_SECONDS = 10
HEAD_BYTES = 4096  # what a file is known by
CHUNK = 64 * 1024
URL_AT_MOST = 2000
MOVED = (301, 302, 303, 307, 308)
# Public by their number, or in some versions of Python, and yet no public place: Azure's metadata and DNS; special uses
# (RFC 6890), Oracle's metadata among them; NAT64 within a network (RFC 8215); relays to IPv6 (RFC 7526).
NOT_PUBLIC = [
    ipaddress.ip_network(one) for one in ("168.63.129.16/32", "192.0.0.0/24", "64:ff9b:1::/48", "192.88.99.0/24")
]
NAT64 = ipaddress.ip_network("64:ff9b::/96")


class FetchRefused(Exception):
    """Why there is no file, in words that may be shown to whoever named the address."""


@dataclass(frozen=True)
class Fetched:
    """bytes: how many were written. digest: their SHA-256, hexadecimal."""

    bytes: int
    digest: str


@dataclass(frozen=True)
class _Place:
    """Where one hop goes: `addresses` are those of `host`, all of them checked."""

    tls: bool
    host: str
    port: int
    target: str
    addresses: list[str]


def fetch(url: str, into: IO[bytes], *, limit_of: Callable[[bytes], int], seconds: float) -> Fetched:
    """Write what stands at `url` into a file.

    limit_of: called once with the first bytes (up to 4096); how many bytes such a file may have. It may raise
    FetchRefused. seconds: for everything together, redirects included.
    Raises FetchRefused.
    """
    deadline = time.monotonic() + seconds
    for _ in range(REDIRECTS_AT_MOST + 1):
        place = _place_of(url)
        moved_to, fetched = _one_hop(place, into, limit_of, deadline)
        if fetched is not None:
            return fetched
        url = urljoin(url, moved_to)
    raise FetchRefused(f"it was redirected more than {REDIRECTS_AT_MOST} times")


# --- Where it goes --------------------------------------------------------------------------------------------------


def _place_of(url: str) -> _Place:
    if len(url) > URL_AT_MOST:
        raise FetchRefused(f"the address is longer than {URL_AT_MOST} characters")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except (ValueError, UnicodeError):
        raise FetchRefused("the address cannot be read") from None
    if parts.scheme not in ("http", "https"):
        raise FetchRefused(f'the address must begin with http:// or https://, not "{parts.scheme}:"')
    if not host:
        raise FetchRefused("the address names no host")
    if parts.username is not None or parts.password is not None:
        raise FetchRefused("the address must not hold a user name or a password")
    tls = parts.scheme == "https"
    port = port if port is not None else 443 if tls else 80
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (
        f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else ""
    )
    return _Place(tls, host, port, target, _addresses(host, port))


def _addresses(host: str, port: int) -> list[str]:
    """The host's addresses. Raises FetchRefused unless all of them are public, or the operator allows the host."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise FetchRefused(f'the host "{host}" is not known') from None
    addresses = list(dict.fromkeys(entry[4][0] for entry in found))
    allowed = {entry.casefold() for entry in settings.MEDIA_HOSTS_ALLOWED}
    if host.casefold() in allowed or f"{host}:{port}".casefold() in allowed:
        return addresses
    for address in addresses:
        if not is_public(address):
            raise FetchRefused(f'the host "{host}" is not on the public internet; files are fetched from there only')
    return addresses


def is_public(address: str) -> bool:
    """Whether the IP address is one of the public internet; one that wraps an IPv4 address is as public as that."""
    ip = ipaddress.ip_address(address)
    if ip.version == 6:
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped))
        if ip in NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)))
        wrapped = [ip.sixtofour, *(ip.teredo or ())]
        if not all(is_public(str(one)) for one in wrapped if one is not None):
            return False
    if any(ip in network for network in NOT_PUBLIC):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


# --- One request ----------------------------------------------------------------------------------------------------


class _Connection(http.client.HTTPConnection):
    """To the addresses that were checked, whatever the name says by now; shut when its time is over."""

    def __init__(self, place: _Place, deadline: float):
        super().__init__(place.host, place.port)
        self.place, self.deadline = place, deadline
        self.watch: threading.Timer | None = None

    def connect(self) -> None:
        self.sock = self._reached()
        self.watch = threading.Timer(_left(self.deadline), _shut, [self.sock])
        self.watch.daemon = True
        self.watch.start()
        if self.place.tls:
            context = ssl.create_default_context()
            # The handshake is made by hand, so that the watch already holds the socket that it is made on.
            self.sock = context.wrap_socket(self.sock, server_hostname=self.place.host, do_handshake_on_connect=False)
            self.watch.args[0] = self.sock
            self.sock.do_handshake()

    def _reached(self) -> socket.socket:
        problem: OSError | None = None
        for address in self.place.addresses:
            try:
                timeout = min(CONNECT_SECONDS, _left(self.deadline))
                return socket.create_connection((address, self.place.port), timeout=timeout)
            except OSError as error:
                problem = error
        raise problem or OSError("no address")

    def close(self) -> None:
        if self.watch is not None:
            self.watch.cancel()
        super().close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _shut(sock: socket.socket) -> None:
    # The plain socket's own: SSLSocket.shutdown takes the connection apart under the thread that reads from it.
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _one_hop(place: _Place, into: IO[bytes], limit_of: Callable, deadline: float) -> tuple[str, Fetched | None]:
    """(where it was moved to, None), or ("", what was fetched)."""
    connection = _Connection(place, deadline)
    headers = {"User-Agent": "FeedbackHub", "Accept": "image/*, video/*", "Accept-Encoding": "identity"}
    try:
        connection.request("GET", place.target, headers=headers)
        response = connection.getresponse()
        if response.status in MOVED and (moved_to := response.headers.get("Location")):
            return moved_to, None
        if response.status != 200:
            raise FetchRefused(f'"{place.host}" answered {response.status}')
        return "", _read(response, into, limit_of, deadline)
    except ssl.SSLCertVerificationError as error:
        raise FetchRefused(f'"{place.host}" has no valid certificate ({error.verify_message})') from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        if deadline - time.monotonic() <= 0.05:
            raise FetchRefused(f'"{place.host}" took too long') from error
        raise FetchRefused(f'"{place.host}" could not be reached, or broke off') from error
    finally:
        connection.close()


def _read(response: http.client.HTTPResponse, into: IO[bytes], limit_of: Callable, deadline: float) -> Fetched:
    announced = response.length
    head = response.read(HEAD_BYTES)
    _left(deadline)  # the watch ends a connection as if that were the end of the file
    limit = limit_of(head)
    digest, size, chunk = hashlib.sha256(), 0, head
    while chunk:
        size += len(chunk)
        if size > limit or (announced or 0) > limit:
            raise FetchRefused(f"it is larger than {limit / 1024**2:g} MiB")
        digest.update(chunk)
        try:
            into.write(chunk)
        except OSError as error:  # ours, not the host's: nothing that a line could be blamed for
            raise RuntimeError(f"a fetched file could not be written: {error}") from error
        chunk = response.read(CHUNK)
        _left(deadline)
    if announced is not None and size < announced:
        raise http.client.IncompleteRead(b"", announced - size)
    return Fetched(size, digest.hexdigest())
