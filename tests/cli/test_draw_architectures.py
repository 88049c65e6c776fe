"""`scripts/draw_architectures.py`: pictures and tables of what the models really are."""

import functools
import re

import numpy as np
import pytest
from PIL import Image
from support.places import ROOT

from pistar_vf.cli.architecture_pictures import drawn_model, example
from pistar_vf.cli.draw_architectures import main
from pistar_vf.drawing.components import format_components, list_components
from pistar_vf.errors import ConfigError
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten, num_parameters
from pistar_vf.recipes.presets import PRESETS
from pistar_vf.training.state import split_params

SHARED = ["vision tower", "projector", "token embedding", "decoder", "value head"]


@functools.cache
def components_of(preset, **changes):
    settings = PRESETS[preset].replace(**changes)
    return list_components(drawn_model(settings, 14), settings.freeze_mode)


def named(components):
    return {component.name: component for component in components}


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("tiny", {"freeze_mode": "all_backbones", "state_encoding": "none"}),
        ("tiny_stitched", {"lora_rank": 2}),
        ("pistar", {}),
    ],
)
def test_the_parts_make_the_whole(preset, changes):
    """Oracle: the model's own tree, and the split into trained and frozen leaves that a run makes."""
    settings = PRESETS[preset].replace(**changes)
    model = drawn_model(settings, 14)
    shapes = flatten(ValueFunction(model).shapes())
    trainable, _ = split_params(shapes, settings.freeze_mode)
    components = components_of(preset, **changes)
    assert sum(c.num_parameters for c in components) == num_parameters(shapes)
    assert sum(c.num_trainable for c in components) == num_parameters(trainable)
    last = format_components(components).splitlines()[-1].split()
    assert last == ["total", f"{num_parameters(shapes):,}", f"{num_parameters(trainable):,}"]


def test_the_parts_of_each_architecture():
    assert {*named(components_of("tiny"))} == {*SHARED, "cross-attention", "state projection"}
    stitched = named(components_of("tiny_stitched", lora_rank=2))
    assert {*stitched} == {*SHARED, "state projection", "language head (tied)", "adapters"}
    assert stitched["language head (tied)"].num_parameters == 0
    assert "state projection" not in named(components_of("tiny", state_encoding="none"))


def test_sizes_by_hand():
    """tiny/14: 56 // 14 = 4 patches a side; a projector of 96 × 96 weights and 96 biases twice; 201 atoms."""
    parts = named(components_of("tiny_stitched"))
    assert parts["vision tower"].details == ("2 images of 56 × 56", "2 × 16 tokens, 96 wide", "3 layers")
    assert parts["projector"].details == ("2 × 16 tokens", "96 → 96 → 96")
    assert parts["projector"].num_parameters == 2 * (96 * 96 + 96)
    assert parts["value head"].details == ("last token of the prompt", "96 → 201 atoms")
    assert parts["value head"].num_parameters == 96 * 201 + 201
    assert parts["state projection"].num_parameters == 14 * 96 + 96
    assert parts["decoder"].details[0] == "[2 × 16 image, 1 state, 16 text] tokens, 96 wide"
    assert parts["token embedding"].num_trainable == 0
    pistar = named(components_of("tiny"))
    assert pistar["decoder"].details[0] == "[2 × 16 image, 16 text, 1 state] tokens, 96 wide"
    assert pistar["value head"].details == ("mean of the valid tokens", "96 → 48 → 201 atoms")


def test_adapters_are_counted():
    """Five projections in each of three layers."""
    part = named(components_of("tiny_stitched", lora_rank=2))["adapters"]
    assert part.details == ("rank 2", "on 15 leaves of the decoder")
    assert part.num_trainable == part.num_parameters > 0


def test_the_command_prints_a_table_and_draws(tmp_path, capsys):
    folder = tmp_path / "pictures"
    words = ["--preset", "tiny_stitched", "--lora_rank", "2", "--state_dim", "7", "--output_dir", str(folder)]
    assert main(words) == folder
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("--preset tiny_stitched (tiny/14, gemma3_tiny), --freeze_mode none")
    assert any(re.fullmatch(r"state projection +768 +768  1 token, 7 → 96", line) for line in lines)
    assert any(line.startswith("adapters ") for line in lines)
    assert lines[-1] == f"result: {folder}"
    assert [path.name for path in folder.iterdir()] == ["architecture_tiny_stitched.png"]
    with Image.open(folder / "architecture_tiny_stitched.png") as picture:
        assert min(picture.size) > 600
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 20


def test_the_comparison_draws_what_came_before(tmp_path, capsys):
    main(["--preset", "tiny_stitched", "--compare", "--output_dir", str(tmp_path)])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "architecture_comparison.png",
        "architecture_prev_4b_vla.png",
        "architecture_tiny_stitched.png",
    ]
    table = capsys.readouterr().out.split("\n\n")[-1].splitlines()
    assert table[0].split() == ["millions", "of", "parameters", "tiny_stitched", "4B", "VLA", "backbone"]
    own = sum(part.num_parameters for part in components_of("tiny_stitched"))
    assert table[-2].split() == ["total", f"{own / 1e6:.2f}", "4,300.60"]


def test_a_frame_of_the_robot_is_shown(tmp_path):
    """Its red block and a state of any size."""
    shown = example(7)
    assert (len(shown.pictures), shown.prompt, len(shown.state)) == (2, "put the red block in the left bin", 7)
    assert any((np.abs(picture.astype(int) - (214, 40, 40)).sum(-1) < 60).any() for picture in shown.pictures)


def test_all_presets_are_the_default(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("pistar_vf.cli.architecture_pictures.list_components", lambda model, mode: [])
    monkeypatch.setattr("pistar_vf.drawing.diagram.draw_components", lambda *words: drawn.append(words[2]))
    main(["--output_dir", str(tmp_path)])
    assert drawn == [tmp_path / f"architecture_{name}.png" for name in PRESETS]


def test_an_unknown_preset_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--preset: expected one of pistar, .*, got 'huge'"):
        main(["--preset", "huge", "--output_dir", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_the_documentation_shows_what_is_printed():
    assert format_components(components_of("stitched")) in (ROOT / "docs" / "stitched.md").read_text()
