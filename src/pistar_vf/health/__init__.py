"""The health of a dataset: everything that is wrong with it, not only the first thing.

`load_lerobot` refuses a damaged dataset at once; here the same damage becomes a finding, and the check goes on.
"""

from pistar_vf.health.check import HealthReport, check_dataset
from pistar_vf.health.findings import Finding

__all__ = ["Finding", "HealthReport", "check_dataset"]
