"""A restored model at work: values of single observations, and of whole datasets shard by shard."""
