"""Learning from answers of one's own (grpo, rloo, ppo): rollouts, the roles on one base, rewards, an eye on them."""
