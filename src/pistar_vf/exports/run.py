"""An export from settings to files."""

from pathlib import Path

from pistar_vf.errors import ConfigError
from pistar_vf.exports.config import ExportConfig
from pistar_vf.exports.indicator import POSITIVE, read_indicator
from pistar_vf.exports.prompts import drop_some, write_prompted_copy
from pistar_vf.exports.sidecars import rabc_files, rlinf_files, weight_files, write_files
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.relabel.write import label_provenance


def run_export(config: ExportConfig) -> Path:
    """Writes the result and returns where it is.

    Raises:
        PistarError: the dataset has no labels, or a setting does not fit the target; nothing was written.
    """
    _check(config)
    dataset = load_lerobot(config.data_dir)
    indicator = read_indicator(dataset, config.adv_col)
    output_dir = config.output_dir or dataset.root.with_name(f"{dataset.root.name}_{config.to}")
    share = float((indicator == POSITIVE).mean())
    print(f"{dataset.root}: {dataset.num_frames:,} frames, {share:.1%} positive")
    if config.to == "prompts":
        indicator = drop_some(indicator, config.dropout, config.seed)
        return write_prompted_copy(dataset, output_dir, indicator, config.prompt_style)
    provenance = label_provenance(dataset)
    if config.to == "rlinf":
        files = rlinf_files(dataset, indicator, config.tag, provenance)
    elif config.to == "rabc":
        source = ", ".join(str(model["name"]) for model in provenance.get("checkpoints", ())) or "pistar_vf"
        files = rabc_files(dataset, indicator, config.chunk_size or 0, source)
    else:
        files = weight_files(dataset, indicator)
    written = write_files(dataset, files, None if config.in_place else output_dir, provenance)
    for path in written:
        print(f"written: {path}")
    return dataset.root if config.in_place else output_dir


def _check(config: ExportConfig) -> None:
    if config.to == "rabc" and config.chunk_size is None:
        raise ConfigError("--to rabc: expected --chunk_size, the action chunk of the policy that is to be trained")
    if config.in_place and (config.output_dir is not None or config.to == "prompts"):
        raise ConfigError(
            "--in_place: expected --to rlinf, rabc or weights, and no --output_dir with it; prompts go into a copy"
        )
