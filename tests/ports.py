"""Ports of a test run's own servers."""

import random
import socket


def free_port() -> int:
    """A port that nobody listens on, below those that the system hands to outgoing connections.

    One of those could be taken by somebody's connection between this look and the server's start.
    """
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
