"""The parts of benchmarks/metaworld.py: episodes from a simulator, labels of several kinds, policies, measures."""
