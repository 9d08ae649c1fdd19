"""Ratings, agreement, intervals and tests. Pure NumPy and SciPy: nothing here knows of a database or of Django."""
