"""Ports of a test run's own servers."""

import os
import random
import socket

# Two runs of tests at once (bin/test) never look at the same port.
FIRST = int(os.environ.get("TEST_PORTS", 20000))


def free_port() -> int:
    """A port that nobody listens on, below those that the system hands to outgoing connections.

    One of those could be taken by somebody's connection between this look and the server's start.
    """
    while True:
        port = random.randrange(FIRST, FIRST + 6000)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
