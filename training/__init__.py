"""Preference tuning as a library and a command. It knows nothing of the site: they meet in a run directory."""
