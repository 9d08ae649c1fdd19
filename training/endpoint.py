"""A client of OpenAI-compatible endpoints: one request an answer, made again where the server was only busy.

Only http and https, no redirects, no proxies of the environment. The host is resolved for each connection, which goes
to the very address that was looked at: a public one, unless run.json says that the operator allows a private one.
"""

import http.client
import ipaddress
import json
import os
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from .errors import TrainingError

KEY = "OPENAI_API_KEY"
TRIES, WAIT_SECONDS, WAIT_AT_MOST = 6, 1.0, 60.0
SECONDS = 300.0  # for one answer
BYTES_AT_MOST = 8 * 1024**2
BUSY = (408, 409, 425, 429, 500, 502, 503, 504)
# Public by their number and yet no public place: metadata and networks of clouds, relays to IPv6 (as the site has it).
NOT_PUBLIC = [
    ipaddress.ip_network(one) for one in ("168.63.129.16/32", "192.0.0.0/24", "64:ff9b:1::/48", "192.88.99.0/24")
]
NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Reply:
    """What came back. tokens: None where the endpoint does not count them. finish_reason: stop or length."""

    text: str
    tokens: int | None
    finish_reason: str
    latency_ms: int


def asks_endpoint(spec: dict) -> bool:
    """Whether run.json's base is an endpoint: `{"endpoint": "https://…/v1", "model": NAME, "private": bool?}`."""
    return isinstance(spec.get("base"), dict) and "endpoint" in spec["base"]


class Endpoint:
    """run.json's `base` where it is an endpoint. The key is the environment's OPENAI_API_KEY, if there is one."""

    def __init__(self, base: dict, check_stop: Callable[[], None] = lambda: None):
        url, self.model = str(base.get("endpoint") or ""), str(base.get("model") or "")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not self.model or "@" in parts.netloc:
            message = (
                f'run.json: base needs "endpoint", such as https://api.openai.com/v1, and "model"; it has {url!r}.'
            )
            raise TrainingError("bad_run", message)
        self.tls, self.host, self.path = parts.scheme == "https", parts.hostname, parts.path.rstrip("/")
        self.port = parts.port or (443 if self.tls else 80)
        self.private = base.get("private") is True
        self.check_stop = check_stop
        # Newer models of OpenAI's take max_completion_tokens in place of max_tokens; found out at the first refusal.
        self.most = "max_tokens"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def chat(self, messages: list[dict], *, max_new_tokens: int, seed: int | None = None, **how) -> Reply:
        """The next message of a conversation. how: temperature, top_p, repetition_penalty, stop."""
        return self._answer("chat/completions", {"messages": messages}, max_new_tokens, seed, how)

    def complete(self, prompt: str, *, max_new_tokens: int, seed: int | None = None, **how) -> Reply:
        """What follows a plain text."""
        return self._answer("completions", {"prompt": prompt}, max_new_tokens, seed, how)

    def _answer(self, what: str, asked: dict, max_new_tokens: int, seed: int | None, how: dict) -> Reply:
        if how.get("repetition_penalty") == 1:  # no part of OpenAI's API, though vLLM and others know it
            how = {name: value for name, value in how.items() if name != "repetition_penalty"}
        # A seed of theirs is a number of 63 bits or fewer; some servers take 32 only.
        more = {} if seed is None else {"seed": seed % 2**31}
        started = time.monotonic()
        body = {"model": self.model, **asked, **how, **more}
        answer = self._asked(what, body, max_new_tokens)
        latency = round(1000 * (time.monotonic() - started))
        try:
            choice = answer["choices"][0]
            text = choice["message"].get("content") if what == "chat/completions" else choice["text"]
            tokens = (answer.get("usage") or {}).get("completion_tokens")
        except (LookupError, TypeError, AttributeError):
            raise self._wrong(f"answered what no OpenAI-compatible endpoint does: {json.dumps(answer)[:200]}") from None
        tokens = tokens if isinstance(tokens, int) else None
        reason = "length" if choice.get("finish_reason") == "length" else "stop"
        return Reply(text if isinstance(text, str) else "", tokens, reason, latency)

    def _asked(self, what: str, body: dict, max_new_tokens: int) -> dict:
        """The answer to a request, tried again while the server is busy. Raises TrainingError (`endpoint`)."""
        problem, wait = "", WAIT_SECONDS
        for number in range(TRIES):
            self.check_stop()
            if number:
                time.sleep(wait)
                wait = min(2 * wait, WAIT_AT_MOST)
            try:
                status, after, text = self._request(what, {**body, self.most: max_new_tokens})
            except (OSError, http.client.HTTPException) as error:
                problem = f"could not be reached ({type(error).__name__}: {error})"
                continue
            if status == 200:
                try:
                    return json.loads(text)
                except (ValueError, RecursionError):
                    raise self._wrong(f"answered no JSON: {text[:100]!r}") from None
            problem = f"answered {status}: {_said(text)}"
            if status == 400 and "max_completion_tokens" in text and self.most == "max_tokens":
                self.most, wait = "max_completion_tokens", 0.0
                continue
            if status not in BUSY:
                raise self._wrong(problem + _advice(status))
            if after is not None:
                wait = min(after, WAIT_AT_MOST)
        raise self._wrong(f"{problem}; tried {TRIES} times")

    def _wrong(self, what: str) -> TrainingError:
        return TrainingError("endpoint", f'The endpoint {self} ("{self.model}") {what}.')

    def _request(self, what: str, body: dict) -> tuple[int, float | None, str]:
        """(status, seconds that Retry-After names, body) of one request."""
        deadline = time.monotonic() + SECONDS
        connection = http.client.HTTPConnection(self.host, self.port)
        connection.sock = self._socket()
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "FeedbackHub"}
        if key := os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {key}"
        try:
            connection.request("POST", f"{self.path}/{what}", json.dumps(body).encode(), headers)
            response = connection.getresponse()
            parts, size = [], 0
            while chunk := response.read1(65536):
                parts.append(chunk)
                size += len(chunk)
                if size > BYTES_AT_MOST or time.monotonic() > deadline:
                    raise TimeoutError("its answer took too long, or is too long")
            after = response.headers.get("Retry-After", "")
            seconds = float(after) if after.replace(".", "", 1).isdigit() else None
            return response.status, seconds, b"".join(parts).decode("utf-8", "replace")
        finally:
            connection.close()

    def _socket(self) -> socket.socket:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(entry[4][0] for entry in found))
        if not self.private and not all(map(is_public, addresses)):
            message = (
                f'The endpoint "{self.host}" is not on the public internet. The operator of the site can allow it: '
                "ENDPOINT_HOSTS_ALLOWED."
            )
            raise TrainingError("endpoint", message)
        problem: OSError | None = None
        for address in addresses:
            try:
                plain = socket.create_connection((address, self.port), timeout=min(SECONDS, 120))
            except OSError as error:
                problem = error
                continue
            return ssl.create_default_context().wrap_socket(plain, server_hostname=self.host) if self.tls else plain
        raise problem or OSError("no address")


def is_public(address: str) -> bool:
    """Whether the IP address is one of the public internet; one that wraps an IPv4 address is as public as that."""
    ip = ipaddress.ip_address(address)
    if ip.version == 6:
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped))
        if ip in NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)))
        if not all(is_public(str(one)) for one in (ip.sixtofour, *(ip.teredo or ())) if one is not None):
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or any(ip in network for network in NOT_PUBLIC))


def _said(text: str) -> str:
    """The message of an error's body, which may be of any shape."""
    try:
        found = json.loads(text)
        error = found.get("error", found)
        text = error.get("message", "") if isinstance(error, dict) else str(error)
    except (ValueError, AttributeError, RecursionError):
        pass
    return " ".join(str(text).split())[:200] or "nothing more"


def _advice(status: int) -> str:
    if status in (401, 403):
        return f". The site's {KEY} is sent to the endpoint that OPENAI_BASE_URL names, and to no other"
    if status == 404:
        return ". Check the model's name there, and that the URL ends as in https://api.openai.com/v1"
    return ""
