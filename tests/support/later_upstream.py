"""The small fork with the faults of upstream's later versions on top: written for the tests, like `mini_upstream`."""

from pathlib import Path

from support.mini_upstream import write_mini_upstream

_LOADER, _WEIGHTS = "src/openpi/training/data_loader.py", "src/openpi/training/weight_loaders.py"
_CHANGES = [
    (_LOADER, "import lerobot_stub\n", "import lerobot_stub\n\nimport openpi.shared.hf_datasets_compat\n"),
    (_LOADER, "as _model\n", "as _model\nfrom openpi.training.value_data_loader import ValueDataset\n"),
    (
        _LOADER,
        "    frames = lerobot_stub",
        "    if data_config.local_data_dir is not None:\n"
        "        return ValueDataset(data_config.local_data_dir)\n"
        "    frames = lerobot_stub",
    ),
    (
        _WEIGHTS,
        "@dataclasses",
        "class ValueModelWeightLoader:\n    def load(self, params):\n"
        '        siglip_path = "/public/home/somebody/siglip.npz"\n'
        '        gemma_checkpoint_dir = "/public/home/somebody/gemma"\n'
        "        return open(siglip_path), gemma_checkpoint_dir\n\n\n@dataclasses",
    ),
]
_VALUE_DATASET = """
import lerobot_stub


class ValueDataset:
    def __init__(self, data_dir):
        self.row = lerobot_stub.COLUMNS

    def __len__(self):
        return 3

    def __getitem__(self, idx):
        return {"image": self.row["image"], "value": self.row["value"]}

    def __iter__(self):
        return (self[idx] for idx in range(3))
"""


def write_later_upstream(root: Path) -> Path:
    """Writes the tree: a folder opens as `ValueDataset`, a module is missing, weights have a path of their own."""
    write_mini_upstream(root)
    for file, old, new in _CHANGES:
        path = root / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
    (root / "src/openpi/training/value_data_loader.py").write_text(_VALUE_DATASET.lstrip())
    return root
