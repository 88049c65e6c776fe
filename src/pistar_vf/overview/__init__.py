"""Everything that is known of a dataset and of a run, in one report: what `pistar-vf report` shows.

What may live here: its settings, what is read of a dataset without a model, and which of the other rooms' chapters the
page has.
"""
