"""Several datasets in one: demonstrations and rollouts, whatever their layout."""

from pistar_vf.data.merge.plan import MergeOptions
from pistar_vf.data.merge.write import merge_datasets

__all__ = ["MergeOptions", "merge_datasets"]
