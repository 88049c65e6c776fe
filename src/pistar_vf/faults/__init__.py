"""Whether a fault is in a checkout of the upstream fork: its files, and questions about them; nothing is changed."""
