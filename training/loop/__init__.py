"""The training loop and what all recipes share before and after it: order, steps, checkpoints, what is saved."""
