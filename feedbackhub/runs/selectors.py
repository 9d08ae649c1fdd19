"""Reads on runs for pages and API: events, curves, samples, the log."""

POINTS_AT_MOST = 500
