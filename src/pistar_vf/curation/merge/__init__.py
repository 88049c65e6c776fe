"""Several datasets in one: demonstrations and rollouts, whatever their layout."""

from pistar_vf.curation.merge.plan import MergeOptions
from pistar_vf.curation.merge.write import merge_datasets

__all__ = ["MergeOptions", "merge_datasets"]
