"""Reward models: their bases and heads, what they learn from, and what they are worth beside what needs no model."""
