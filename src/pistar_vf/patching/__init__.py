"""The patch set that repairs the upstream openpi fork: structural edits of its syntax trees (`patches/`)."""
