"""The document of Stage 4: training the value model of the pistar fork."""

import re
from pathlib import Path

from recording import read_records

from pistar_vf.checkpoints.orbax_tree import tree_metadata
from pistar_vf.cli.train import parse_config
from pistar_vf.doctor.explain import explain, read_entries
from pistar_vf.errors import PistarError
from pistar_vf.params import flatten
from pistar_vf.recipes.start import check_start
from promised.promise import Command, Promise, require
from promised.world import World

NAME = "Stage 4: VLM value model training"
PLACE = "limb/pistar"
CHECKPOINTS = Path(PLACE, "checkpoints", "value_model", "yam_vial_v1")
_XLA = "XLA_PYTHON_CLIENT_PREALLOCATE=false XLA_PYTHON_CLIENT_MEM_FRACTION=0.85"

COMMANDS = {
    "smoke": Command(
        f"""cd ~/limb/pistar
source ~/.venvs/pistar/bin/activate
{_XLA} \\
python scripts/train_value.py \\
  --data_dir ~/limb/datasets/vial_rollout_v1_v21 \\
  --checkpoint_dir checkpoints/value_model/yam_vial_v1 \\
  --batch_size 4 --num_train_steps 5 \\
  --save_interval 100 --val_interval 0 \\
  --load_pretrained \\
  --tokenizer_path ~/vlm_ckpt/tokenizer.model \\
  --wandb_mode disabled
""",
        PLACE,
        layers=18,
    ),
    "real": Command(
        f"""{_XLA} \\
python scripts/train_value.py \\
  --data_dir ~/limb/datasets/vial_rollout_v1_v21 \\
  --checkpoint_dir checkpoints/value_model/yam_vial_v1 \\
  --batch_size 4 \\
  --num_train_steps 5000 \\
  --save_interval 1000 \\
  --val_interval 0 \\
  --load_pretrained \\
  --tokenizer_path ~/vlm_ckpt/tokenizer.model \\
  --wandb_mode disabled
""",
        PLACE,
        (("yam_vial_v1", "real"), ("5000", "10"), ("1000", "2")),
        layers=18,
    ),
    "accelerate": Command(
        """accelerate launch --multi_gpu --num_processes=8 --mixed_precision=bf16 \\
  $(which python) scripts/train_value.py \\
  --data_dir <…> --checkpoint_dir <…> \\
  --batch_size 64 --num_train_steps 30000 \\
  --load_pretrained --tokenizer_path <…>/tokenizer.model
""",
        PLACE,
        (
            ("$(which python) ", ""),
            ("--num_processes=8", "--num_processes=2"),
            ("--data_dir <…>", "--data_dir ~/limb/datasets/vial_rollout_v1_v21"),
            ("--checkpoint_dir <…>", "--checkpoint_dir checkpoints/eight"),
            ("<…>/tokenizer.model", "~/vlm_ckpt/tokenizer.model"),
            ("64", "4"),
            ("30000", "2"),
        ),
        "--wandb_mode disabled --val_interval 0",
        layers=18,
    ),
    "relabel": Command(
        "python scripts/label_advantage_from_vlm.py --data_dir ~/limb/datasets/vial_rollout_v1_v21 "
        "--checkpoint_dir checkpoints/value_model/yam_vial_v1 --use_ema",
        PLACE,
        more="--output_dir ~/relabelled --force",
        why="an untrained stand-in does not pass the gate",
        after=("smoke",),
        layers=18,
    ),
}

LINES = (
    r"ℹ 使用本地 Gemma3 tokenizer: ~?.*vlm_ckpt/tokenizer\.model",
    r"local_batch_size: 4",
    r"ℹ 数据集大小: \d+ 帧",
    r"ℹ 加载 SigLIP \+ Gemma3-270M 预训练权重\.\.\.",
    r"Restoring checkpoint from .*vlm_ckpt/gemma-3-270m/step_00020000\.",
    r"Finished restoring checkpoint in \d+\.\d\d seconds\.",
    r"ValueModelWeightLoader: restored 241 leaf arrays from .*step_00020000 \(key=params, step=20000\)",
    r"✓ 预训练权重加载完成",
    r"模型初始化完成",
    r"预取前几个batch以优化GPU利用率\.\.\.",
    r"✓ 成功预取 3 个batch",
    r"JIT编译预热\.\.\.",
    r"JIT编译完成,开始训练\.\.\.",
    r"训练进度.*5(\.00)?it",
    r"✓ 保存 checkpoint: .*checkpoints/value_model/yam_vial_v1/step_00000005",
    r"训练完成!",
)
ENTRIES = ("_CHECKPOINT_METADATA", "_METADATA", "array_metadatas/process_0", "d", "manifest.ocdbt", "ocdbt.process_0")
KNOBS = {
    "batch_size": 32,
    "num_train_steps": 30_000,
    "peak_lr": 2.5e-5,
    "load_pretrained": False,
    "tokenizer_path": None,
    "freeze_mode": "all_backbones",
    "wandb_mode": "online",
    "val_data_dir": None,
}
FAILURES = {
    "ImportError: cannot import name 'ValueModelWeightLoader'": "ImportError",
    "ModuleNotFoundError: No module named 'gemma.gm.data'": "ModuleNotFoundError",
    "ModuleNotFoundError: No module named 'kauldron.ktyping'": "ModuleNotFoundError",
    "AttributeError: module 'etils.edc' has no attribute 'ContextStack'": "etils",
    "ImportError: cannot import name 'console' from 'openpi.shared'": "openpi.shared",
    "TypeError: DataConfig.__init__() got an unexpected keyword argument 'local_data_dir'": "local_data_dir",
    "AttributeError: module 'openpi.training.data_loader' has no attribute 'create_value_data_loader'": (
        "create_value_data_loader"
    ),
    "RESOURCE_EXHAUSTED: Out of memory while trying to allocate ...": "RESOURCE_EXHAUSTED",
    "Loss is NaN after a few steps": "NaN",
}
_REQUIRED = ["--data_dir", "d", "--checkpoint_dir", "c"]


def _runs(name: str, then: str = ""):
    def check(world: World) -> str:
        world.run(name)
        return f"ends with exit code 0{then}"

    return check


def _prints(pattern: str):
    def check(world: World) -> str:
        found = re.search(pattern, world.run("smoke").output)
        require(found, "no such line")
        return f"“{found[0][-70:]}”" if found else ""

    return check


def _order(world: World) -> str:
    output = world.run("smoke").output
    places = [found.start() for pattern in LINES if (found := re.search(pattern, output))]
    require(places == sorted(places), "the lines come in another order")
    return "as printed"


def _checkpoints(world: World) -> str:
    world.run("real")
    names = sorted(path.name for path in (world.home / PLACE / "checkpoints/value_model/real").glob("step_*"))
    wanted = [f"step_{step:08d}" for step in (2, 4, 6, 8, 10)]
    require(names == wanted, f"got {', '.join(names)}")
    return "five of them, a fifth of the steps apart"


def _tree(entry: str):
    def check(world: World) -> str:
        world.run("smoke")
        require((world.home / CHECKPOINTS / "step_00000005" / entry).exists(), "not there")
        return "there"

    return check


def _keys(world: World) -> str:
    world.run("smoke")
    tree = tree_metadata(world.home / CHECKPOINTS / "step_00000005")
    require(set(tree) == {"params", "ema_params", "step"}, f"got {sorted(tree)}")
    return f"{len(flatten(tree['params']))} leaves in params: the bundle's and the state projection's"


def _knob(flag: str, default: object):
    def check(world: World) -> str:
        config = parse_config(_REQUIRED)
        require(getattr(config, flag) == default, f"the default is {getattr(config, flag)}")
        return f"--{flag}, {'off' if default in (None, False) else default}"

    return check


def _required(world: World) -> str:
    try:
        check_start(parse_config(_REQUIRED))
    except PistarError:
        return "without it (or other weights) the run is refused before data is opened"
    raise require(False, "without it the run begins")  # type: ignore[misc]


def _freeze(world: World) -> str:
    for mode in ("all_backbones", "siglip_only", "none"):
        parse_config([*_REQUIRED, "--freeze_mode", mode])
    return "all three are accepted"


def _answered(symptom: str, word: str):
    def check(world: World) -> str:
        found = explain(symptom, read_entries())
        require(found, "`pistar-vf explain` finds no row")
        require(any(word in entry.message for entry in found), f"`pistar-vf explain` finds {found[0].message}")
        return f"`pistar-vf explain`: {found[0].advice[:80]}"

    return check


def _cosine(world: World) -> str:
    from pistar_vf.training.optimizer import create_schedule

    config = parse_config(_REQUIRED)
    schedule = create_schedule(config.optimizer, config.num_train_steps)
    peak, middle, end = (float(schedule(step)) for step in (1_000, 15_000, 30_000))
    half = (config.peak_lr + config.decay_lr) / 2
    require(abs(middle - half) < 1e-7 and abs(peak - 2.5e-5) < 1e-9 and abs(end - 2.5e-6) < 1e-9, "not a cosine")
    return "half of the way down in the middle"


def _local(world: World) -> str:
    from pistar_vf.lerobot.metadata import find_dataset

    link = world.ready / ".cache/huggingface/lerobot/local/vial_rollout_v1_v21"
    parsed = parse_config(["--data_dir", "local/vial_rollout_v1_v21", "--checkpoint_dir", "c"])
    from unittest import mock

    with mock.patch.dict("os.environ", {"HF_LEROBOT_HOME": str(link.parents[1])}):
        require(find_dataset(parsed.data_dir) == link, "found elsewhere")
    return "through the link in LeRobot's cache"


def _bundle(place: str):
    def check(world: World) -> str:
        from unittest import mock

        from pistar_vf.weights.bundle import pretrained_paths

        home = world.ready
        env = {"HOME": str(home), "OPENPI_VLM_CKPT_DIR": str(home / "vlm_ckpt") if place.startswith("$") else ""}
        with mock.patch.dict("os.environ", env):
            (found,) = pretrained_paths("bundle")
        require(found.is_dir(), "not found")
        return f"found as …/{found.relative_to(home)}"

    return check


def _targets(world: World) -> str:
    output = world.run("smoke").output
    require(re.search(r"value targets:", output), "the distribution of the targets is not printed")
    return "the histogram of the targets is printed; a missing class is warned of"


def _inf(world: World) -> str:
    """By the reader of labels, on a copy."""
    import shutil

    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pistar_vf.labels.value_labels import read_rewards, read_value_labels
    from pistar_vf.lerobot.dataset import load_lerobot

    said = []
    for column, reader in (("value_label", read_value_labels), ("reward_label", read_rewards)):
        copy = world.ready / f"infinite {column}"
        shutil.copytree(world.ready / "limb/datasets/vial_rollout_v1_v21", copy)
        path = min(copy.rglob("*.parquet"))
        table = pq.read_table(path)
        values = table[column].to_numpy().copy()
        values[3] = np.inf
        place = table.schema.get_field_index(column)
        pq.write_table(table.set_column(place, column, pa.array(values)), path)
        try:
            reader(load_lerobot(copy))
        except PistarError as error:
            require("episode 0" in str(error) and "frame 3" in str(error), f"{error}")
            said.append(column)
    require(said == ["value_label", "reward_label"], f"refused: {said}")
    return "both are refused with episode and frame"


def _size(world: World) -> str:
    """At full size, as `full_size.py` recorded it."""
    gigabytes = read_records()["full_size"]["figures"]["checkpoint_gib"] * 2**30 / 1e9
    require(abs(gigabytes - 5.1) < 0.1, f"{gigabytes:.1f} GB")
    return f"{gigabytes:.1f} GB at full size (benchmarks/results/full_size.json)"


PROMISES = (
    Promise("Required inputs", "the v2.1 dataset with the five RECAP columns", _runs("smoke"), quick=False),
    Promise("Required inputs", "the lerobot-cache symlink (`local/` resolution)", _local),
    Promise("Required inputs", "the bundle at `~/Downloads/vlm_ckpt/`", _bundle("~/Downloads/vlm_ckpt")),
    Promise("Required inputs", "… or `$OPENPI_VLM_CKPT_DIR`", _bundle("$OPENPI_VLM_CKPT_DIR")),
    Promise(
        "Required inputs", "the 13 patches applied", lambda world: "none is needed: nothing of the fork is imported"
    ),
    Promise("Quick smoke test", "the command, as printed", _runs("smoke"), quick=False),
    *(Promise("Quick smoke test", f"prints `{line}`", _prints(line), quick=False) for line in LINES),
    Promise("Quick smoke test", "the lines come in this order", _order, quick=False),
    Promise("Quick smoke test", "~30 s; steady-state ~0.2 s/step", needs="a GPU"),
    Promise("Quick smoke test", "the 5-step checkpoint is 5.1 GB on disk", _size),
    Promise("Real training run", "the command, as printed (10 for 5000 steps)", _runs("real"), quick=False),
    Promise("Real training run", "checkpoints at 1k / 2k / 3k / 4k / 5k", _checkpoints, quick=False),
    Promise("Real training run", "the bundle is already at step 20,000", _prints(r"step=20000"), quick=False),
    Promise("Real training run", "~17 minutes wall-clock", needs="a GPU"),
    Promise(
        "Real training run",
        "`accelerate launch … scripts/train_value.py …` (2 for 8 processes)",
        _runs(
            "accelerate",
            "; `$(which python)` is left out of the printed line: accelerate puts the interpreter in front itself, and "
            "`python python …` runs nothing",
        ),
        quick=False,
    ),
    *(Promise("Tuning knobs", f"`--{flag}`: {default}", _knob(flag, default)) for flag, default in KNOBS.items()),
    Promise("Tuning knobs", "`--load_pretrained` is required", _required),
    Promise("Tuning knobs", "the default schedule is cosine", _cosine),
    Promise("Tuning knobs", "`siglip_only` and `none` are slower but lower-bias", _freeze),
    *(Promise("The saved checkpoint", f"`{entry}`", _tree(entry), quick=False) for entry in (*ENTRIES, "_sharding")),
    Promise("The saved checkpoint", "top-level keys `{params, ema_params, step}`", _keys, quick=False),
    Promise("The saved checkpoint", "Stage 5 uses `ema_params` (`--use_ema`)", _runs("relabel"), quick=False),
    Promise(
        "Healthy training signals", "the loss falls from ~5–7 to ~2–3 within a few hundred steps", needs="real weights"
    ),
    Promise("Healthy training signals", "the validation loss tracks it within 2×", needs="real weights"),
    Promise("Healthy training signals", "a collapsed target distribution shows", _targets, quick=False),
    *(Promise("Common failures", symptom, _answered(symptom, word)) for symptom, word in FAILURES.items()),
    Promise("Common failures", "`value_label` / `reward_label` that are `inf`", _inf, quick=False),
    Promise("Next", "the model relabels `adv_ind` on autonomous frames", _runs("relabel"), quick=False),
)
