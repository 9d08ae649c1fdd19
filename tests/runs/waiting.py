import time


def wait_until(condition, *, seconds: float = 120, what: str = ""):
    """The first true value of `condition()`, asked again and again; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain {what or 'for ' + condition.__name__}"
        time.sleep(0.02)
    return value
