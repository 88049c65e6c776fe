"""Value models of this library and of upstream through one door."""

from pathlib import Path

from pistar_vf.checkpoints.layout import find_checkpoint
from pistar_vf.inference.predictor import ValuePredictor, load_value_model, restore_predictor
from pistar_vf.upstream.spec import UpstreamInputs, is_upstream, upstream_spec


def load_any_value_model(
    path: str | Path, *, use_ema: bool = True, upstream: UpstreamInputs | None = None
) -> ValuePredictor:
    """Restores a value model of this library, or of upstream where it is said what that one reads.

    Args:
        path: a checkpoint or a training directory, see `load_value_model`.
        use_ema: the moving average of the weights, or the weights themselves.
        upstream: the inputs of a checkpoint without `value_spec.json`, which is then taken for upstream's; None
            refuses such a checkpoint.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged, or it is not upstream's.
        ConfigError: `upstream` names no base camera, though it is needed.
    """
    checkpoint = find_checkpoint(Path(path))
    if upstream is None or not is_upstream(checkpoint):
        return load_value_model(checkpoint, use_ema=use_ema)
    spec, key, tokenizer = upstream_spec(checkpoint, upstream, use_ema=use_ema)
    return restore_predictor(checkpoint, spec, key, tokenizer)
