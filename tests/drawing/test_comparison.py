"""What came before, in numbers: against the published counts of Gemma 3 4B."""

import numpy as np
from PIL import Image

from pistar_vf.drawing.comparison import draw_comparison, previous_components, side_by_side
from pistar_vf.drawing.components import Component


def test_the_sizes_of_the_4b_backbone_give_its_published_counts():
    """Oracle: Gemma 3's report (arXiv 2503.19786, table 1): 417 M in the vision encoder, 3,209 M without embeddings."""
    parts = {part.name: part for part in previous_components(("base_0_rgb", "wrist_0_rgb"))}
    assert round(parts["vision tower"].num_parameters / 1e6) == 417
    assert round(parts["decoder"].num_parameters / 1e6) == 3_209
    assert parts["token embedding"].num_parameters == 262_208 * 2_560
    assert parts["value head"].num_parameters == 2_560 * 201 + 201
    assert parts["decoder"].details[0] == "[2 × 256 image, 48 text] tokens, 2560 wide"
    assert parts["vision tower"].details[:2] == ("2 images of 896 × 896", "2 × 256 tokens, 1152 wide")


SMALL = [Component("vision tower", (), 1_000_000, 0), Component("value head", (), 250_000, 250_000)]
LARGE = [Component("vision tower", (), 12_000_000, 0), Component("projector", (), 0, 0)]


def test_a_column_per_model():
    assert side_by_side({"small": SMALL, "large": LARGE}).splitlines() == [
        "millions of parameters  small  large",
        "vision tower             1.00  12.00",
        "value head               0.25      –",
        "projector                   –   0.00",
        "total                    1.25  12.00",
    ]


def test_bars_are_to_scale(tmp_path):
    """Of the two bars of vision towers, one is twelve times as long."""
    path = draw_comparison({"small": SMALL, "large": LARGE}, tmp_path / "out" / "c.png")
    with Image.open(path) as picture:
        blue = (np.asarray(picture.convert("RGB")) == (0x7A, 0x93, 0xB8)).all(-1)
    lengths = sorted({count for count in blue.sum(1).tolist() if count > 40})
    assert abs(lengths[-1] / lengths[0] - 12) < 0.5
