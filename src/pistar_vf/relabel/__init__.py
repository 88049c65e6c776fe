"""From values to labels: advantages, thresholds, the gate, the report, and writing."""
