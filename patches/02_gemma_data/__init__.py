"""In the place of gemma's own data pipeline, which this checkout lacks: what running its models needs."""

from gemma.gm.data._functional import pad as pad
