"""Small pictures and videos, made on the spot (a plugin of tests/conftest.py), and a server that hands them out."""

import struct
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

MP4 = struct.pack(">I", 24) + b"ftypisom" + struct.pack(">I", 512) + b"isommp41" + struct.pack(">I", 8) + b"free"
WEBM = b"\x1aE\xdf\xa3\x93\x42\x86\x81\x01\x42\xf7\x81\x01\x42\x82\x84webm\x42\x87\x81\x04" + bytes(40)


def png(color: tuple[int, int, int] = (200, 30, 30), width: int = 40, height: int = 30) -> bytes:
    """A picture of one colour."""
    rows = (b"\x00" + bytes(color) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


class _Site(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):  # noqa: N802
        self.server.asked.append((self.path, self.headers["Host"]))
        answer = self.server.pages.get(self.path, (404, {}, b""))
        if callable(answer):
            answer(self)
            return
        status, headers, body = answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


@pytest.fixture
def media_dir(settings, tmp_path):
    """Where pictures and videos lie: a folder of the test's own."""
    settings.MEDIA_DIR = tmp_path / "media"
    held = {**settings.STORAGES["media"], "OPTIONS": {"location": str(settings.MEDIA_DIR)}}
    settings.STORAGES = {**settings.STORAGES, "media": held}
    return settings.MEDIA_DIR


@pytest.fixture
def kept(media_dir, project):
    """kept(bytes, alt): the part of an output that shows this picture or video, which the project now has."""
    import hashlib

    from feedbackhub.catalog.media import media_keep, media_part

    def keep(content, alt="", of=None):
        media_dir.mkdir(exist_ok=True)
        path = media_dir / "arrived"
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        return media_part(media_keep(project=of or project, path=path, digest=digest), alt)

    return keep


@pytest.fixture
def site(settings):
    """site.put("/a.png", bytes) → its address on a server of ours, which imports may fetch from; `asked` keeps count.

    site.put(path, body, status=…, **headers); a body may be a function of the request.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    server.daemon_threads = True
    server.pages, server.asked = {}, []
    server.host = f"127.0.0.1:{server.server_port}"
    settings.MEDIA_HOSTS_ALLOWED = [server.host]

    def put(path, body=b"", status=200, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        server.pages[path] = body if callable(body) else (status, named, body)
        return f"http://{server.host}{path}"

    server.put = put
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
