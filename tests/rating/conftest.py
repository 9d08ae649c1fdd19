"""Models with answers, tasks, and judgments as a client makes them."""

from rating_cast import (  # noqa: F401
    answers,
    chromium,
    expire,
    judged,
    leased,
    outcomes,
    page_of,
    said,
    tasks,
)
