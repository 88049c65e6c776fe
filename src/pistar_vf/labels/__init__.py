"""What a dataset says about value: labels, outcomes, targets, time-outs, and which episodes are held out."""
