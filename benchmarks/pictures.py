"""The pictures of README and docs: `make demo`, then `python benchmarks/pictures.py outputs/demo`.

Architectures are drawn anew; the value curves and the training curves are those of the demo, in fewer colours.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from pistar_vf.cli.draw_architectures import main as draw_architectures

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
ARCHITECTURES = (
    "architecture_pistar.png",
    "architecture_stitched.png",
    "architecture_prev_4b_vla.png",
    "architecture_comparison.png",
)
OF_THE_DEMO = {"value_curves.png": "value_curves.png", "training_curves.png": "checkpoints/curves.png"}
"""Picture to where the demo leaves it."""


def write_architectures() -> None:
    """Draws the full-size models."""
    with tempfile.TemporaryDirectory() as drawn:
        for preset in ("pistar", "stitched"):
            draw_architectures(["--preset", preset, "--compare", "--output_dir", drawn])
        for name in ARCHITECTURES:
            shrink(Path(drawn) / name, FOLDER / name)


def shrink(source: Path, target: Path) -> None:
    """Writes a PNG in 64 colours."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as picture:
        picture.convert("RGB").quantize(64).save(target, optimize=True)


if __name__ == "__main__":
    write_architectures()
    for folder in sys.argv[1:]:
        for name, made in OF_THE_DEMO.items():
            shrink(Path(folder) / made, FOLDER / name)
