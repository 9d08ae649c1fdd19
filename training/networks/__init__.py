"""What a model computes: rows as tensors, log-probabilities, answers token by token, and the faster layers."""
