"""What the recipe evaluate can measure, a module a suite, and what they share."""
