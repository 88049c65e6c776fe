"""Generated data and weights for tests, demonstrations and benchmarks."""
