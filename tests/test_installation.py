"""What to type for an extra. Oracle: the packages that pyproject.toml names."""

from importlib import metadata

import pytest

from pistar_vf import installation


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("wandb", "pip install 'wandb>=0.18'"),
        ("baselines", "pip install 'scikit-learn>=1.4'"),
        ("patches", "pip install 'libcst>=1.5'"),
        ("serve", "pip install 'websockets>=13' 'msgpack>=1'"),
    ],
)
def test_extras_are_named_by_their_packages(monkeypatch, extra, expected):
    """As the metadata of wheels and of editable installations spell them."""
    lines = [
        "wandb>=0.18; extra == 'wandb'",
        'scikit-learn>=1.4 ; extra == "baselines"',
        "libcst>=1.5; extra=='patches'",
    ]
    lines += ["websockets>=13; extra == 'serve'", "msgpack>=1; extra == 'serve'", "numpy>=1.26"]
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    assert installation.install_command(extra) == expected


def test_a_source_tree_that_is_not_installed(monkeypatch):
    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    assert installation.install_command("wandb") == "pip install -e '.[wandb]' in the checkout"
