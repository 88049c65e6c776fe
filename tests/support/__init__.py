"""What several folders of tests share: small models, datasets, processes that are killed, reference implementations."""
