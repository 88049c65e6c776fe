"""`pistar-vf convert`: weights from one layout into another."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from pistar_vf.choices import Architecture, PretrainedSource, StorageDtype, TargetLayout
from pistar_vf.cli.parsing import parse
from pistar_vf.cli.train import setup_logging


@dataclasses.dataclass(frozen=True)
class ConvertArgs:
    """Convert weights: bundle, base weights, Hugging Face folders or checkpoints into any of these, or safetensors."""

    to: TargetLayout
    """checkpoint: an orbax tree of ours. bundle: the VLM bundle's value model, as upstream reads it. base: big_vision's
    npz and Google's Gemma 3. huggingface: two folders with the towers. safetensors: one file, our names."""
    output: Path
    """The folder (for safetensors: the file) to make; it must not exist."""
    source: PretrainedSource = "checkpoint"
    """What --path holds, as --pretrained_source of `pistar-vf train`."""
    path: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="PATH [PATH]")] = ()
    """Where it is, as --pretrained_path of `pistar-vf train`."""
    dtype: StorageDtype = "float32"
    """Numbers of a base, huggingface or safetensors result."""
    drop_state: bool = False
    """Leave the state projection out of a bundle; the values then differ."""
    allow_uninformative_tower: bool = False
    """Convert even a value model whose vision tower carries no information."""
    architecture: Architecture = "pistar"
    """Architecture of a source without value_spec.json; stitched for the `model` folder of `pistar-vf align`."""
    siglip_variant: str = "So400m/14"
    """Vision tower of a source without value_spec.json."""
    gemma_variant: str = "gemma3_270m"
    """Language model of a source without value_spec.json."""
    image_size: int | None = None
    """Side of the images in pixels, for a source without value_spec.json; default: the vision tower's own."""
    seed: int = 42
    """Decides the parts that the source does not have."""


def run(args: ConvertArgs) -> Path:
    """Converts, prints where the result is, and returns it."""
    from pistar_vf.models import gemma3, siglip
    from pistar_vf.models.sizes import lookup
    from pistar_vf.models.value_config import ARCHITECTURES
    from pistar_vf.weights.bundle import pretrained_paths
    from pistar_vf.weights.convert import convert_weights

    tower = lookup(siglip.VARIANTS, args.siglip_variant, "--siglip_variant")
    model = ARCHITECTURES[args.architecture](
        siglip=dataclasses.replace(tower, image_size=args.image_size or tower.image_size),
        gemma=lookup(gemma3.VARIANTS, args.gemma_variant, "--gemma_variant"),
        state_encoding="none",
    )
    output = convert_weights(
        pretrained_paths(args.source, args.path),
        args.output,
        args.to,
        model,
        dtype=args.dtype,
        drop_state=args.drop_state,
        allow_uninformative_tower=args.allow_uninformative_tower,
        seed=args.seed,
    )
    print(f"result: {output}")
    return output


def main(argv: Sequence[str]) -> Path:
    """Parses the command line and runs the command."""
    setup_logging()
    return run(parse(ConvertArgs, argv, "pistar-vf convert"))
