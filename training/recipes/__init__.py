"""The recipes that change weights, one a file, each to be read from top to bottom."""
