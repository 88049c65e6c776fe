"""What one episode and its outcome say about the value of every frame: columns, conventions and targets.

Plain numpy. T frames, t = 0 … T-1; several episodes are given as their lengths and one concatenated array.
"""

from pistar_vf.returns.columns import RECAP_COLUMNS, recap_columns
from pistar_vf.returns.conventions import CONVENTIONS, Convention, find_convention, in_words, terminal_bootstrap
from pistar_vf.returns.normaliser import Normaliser
from pistar_vf.returns.outcome import OPEN_ENDED, Outcome, as_outcome, labelled_outcomes

__all__ = [
    "CONVENTIONS",
    "OPEN_ENDED",
    "RECAP_COLUMNS",
    "Convention",
    "Normaliser",
    "Outcome",
    "as_outcome",
    "find_convention",
    "in_words",
    "labelled_outcomes",
    "recap_columns",
    "terminal_bootstrap",
]
