"""The suite task: benchmarks in lm-evaluation-harness's YAML, asked for likelihoods, texts or programs."""
