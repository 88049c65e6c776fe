"""The document of the stitched value function: SigLIP, a projector and Gemma 3 270M in two stages."""

import dataclasses
import json
import re
import subprocess

import numpy as np

from pistar_vf.categorical import Support, two_hot
from pistar_vf.checkpoints.value_spec import load_value_spec
from pistar_vf.cli.train import parse_config
from pistar_vf.models import gemma3, siglip
from pistar_vf.models.value_config import stitched_config
from pistar_vf.params import num_parameters
from pistar_vf.returns import Outcome, recap_columns
from pistar_vf.weights.weight_files import model_leaves
from promised.promise import Command, Promise, require
from promised.world import ROOT, World

NAME = "Value Function for Advantage-Conditioned Policy (stitched)"
PLACE = "value_function_stitched"
_TOWERS = "--pretrained_source huggingface --pretrained_path ~/towers/siglip ~/towers/gemma-3-270m"
_WEIGHTS = f"{_TOWERS} --tokenizer_path ~/towers/gemma-3-270m/tokenizer.model --wandb_mode disabled"
_WHY = "weights are named, never guessed"
_SHORT = "--num_train_steps 2 --batch_size 4 --save_interval 2 --val_interval 1"
_FOLDERS = (
    ("/path/to/your/lerobot_parquet/chunk-000", "~/free/lerobot_parquet/chunk-000"),
    ("/path/to/your/videos", "~/free/videos"),
)
_SPLIT = "--train_ratio 0.8 --val_ratio 0.1 --test_ratio 0.1 --split_seed 42"

COMMANDS = {
    "stage 1": Command(
        """python train.py --stage 1 \\
  --output_base ./outputs
""",
        PLACE,
        more=f"{_WEIGHTS} --stage1.max_token_len 96 --cauldron_subset vqav2 {_SHORT}",
        why=_WHY,
    ),
    "alignment": Command(
        "python train_alignment.py --dataset_name HuggingFaceM4/the_cauldron --cauldron_subset vqav2 ...",
        PLACE,
        ((" ...", ""),),
        f"{_WEIGHTS} --max_token_len 96 --checkpoint_dir other_alignment {_SHORT}",
        _WHY,
    ),
    "stage 2": Command(
        f"""python train.py --stage 2 \\
  --projector_path ./outputs_alignment/best_projector.pt \\
  --parquet_dir /path/to/your/lerobot_parquet/chunk-000 \\
  --video_root /path/to/your/videos \\
  --output_base ./outputs \\
  {_SPLIT}
""",
        PLACE,
        _FOLDERS,
        f"{_WEIGHTS} {_SHORT} --max_token_len 64",
        _WHY,
        after=("stage 1",),
    ),
    "tmux": Command(
        "chmod +x start_train_tmux.sh && ./start_train_tmux.sh",
        PLACE,
        (("chmod +x start_train_tmux.sh && ", ""),),
        f"--projector_path ./outputs_alignment/best_projector.pt {_WEIGHTS} {_SHORT} --max_token_len 64",
        _WHY,
    ),
    "evaluation": Command(
        f"""python eval_test.py \\
  --checkpoint ./outputs/robot_vf \\
  --parquet_dir /path/to/your/lerobot_parquet/chunk-000 \\
  --video_root /path/to/your/videos \\
  {_SPLIT}
""",
        PLACE,
        _FOLDERS,
        after=("stage 2",),
    ),
    "other seed": Command(
        f"python eval_test.py --checkpoint ./outputs/robot_vf {_SPLIT}",
        PLACE,
        (("--split_seed 42", "--split_seed 43"),),
    ),
    "curves": Command(
        "python visualize_value_function.py",
        PLACE,
        more="--checkpoint ./outputs/robot_vf --num_episodes 1",
        after=("stage 2",),
    ),
    "diagrams": Command("python draw_architectures.py", PLACE, more="--preset stitched --compare"),
}

HERE = {
    "README.md": "README.md",
    "FILE_MANIFEST.md": "docs/development.md",
    "model_stitched.py": "src/pistar_vf/models/value_model.py",
    "dataset_alignment.py": "src/pistar_vf/questions/open_source.py",
    "dataset_robot.py": "src/pistar_vf/curation/free_folders/open.py",
    "train_alignment.py": "scripts/train_alignment.py",
    "train_robot_vf.py": "scripts/train_robot_vf.py",
    "train.py": "scripts/train.py",
    "eval_test.py": "scripts/eval_test.py",
    "visualize_value_function.py": "scripts/visualize_value_function.py",
    "draw_architectures.py": "scripts/draw_architectures.py",
    "start_train_tmux.sh": "scripts/start_train_tmux.sh",
    "architecture_current_stitched.png": "docs/images/architecture_stitched.png",
    "architecture_prev_4b_vla.png": "docs/images/architecture_prev_4b_vla.png",
    "value_function_visualization.png": "docs/images/value_curves.png",
    "TRAINING.md": "docs/training.md",
    "RESULTS.md": "docs/results.md",
}
"""A file of that repository to what it is here."""


def _runs(name: str, then: str = ""):
    def check(world: World) -> str:
        world.run(name)
        why = world.commands[name].why
        return f"ends with exit code 0{f', with flags more: {why}' if why else ''}{then}"

    return check


def _sizes() -> dict[str, int]:
    """Parameters of each part at full size."""
    model = stitched_config(
        siglip=siglip.VARIANTS["So400m/14-384"],
        gemma=gemma3.VARIANTS["gemma3_270m"],
        cameras=("base_0_rgb", "wrist_0_rgb"),
        state_dim=14,
    )
    leaves = model_leaves(model)
    parts = {"total": num_parameters(leaves)}
    for part in ("img/", "img_projection/", "llm/", "value_head/"):
        parts[part] = num_parameters({name: leaf for name, leaf in leaves.items() if name.startswith(part)})
    return parts


def _part(part: str, about: float, share: float = 0.05):
    def check(world: World) -> str:
        size = _sizes()[part]
        require(abs(size - about) <= share * about, f"{size:,}")
        return f"{size:,}"

    return check


def _wrong(part: str, words: str):
    def check(world: World) -> str:
        return f"{_sizes()[part]:,}: {words}; docs/stitched.md says so"

    return check


def _nttg(world: World) -> str:
    """As `pistar-vf label` writes them, divided by the length."""
    success, failure = (recap_columns(5, o)["value_label"].tolist() for o in (Outcome.SUCCESS, Outcome.FAILURE))
    require(np.allclose(success, [-0.8, -0.6, -0.4, -0.2, 0]), f"a success gets {success}")
    require(failure == [-1] * 5, f"a failure gets {failure}")
    return "five frames of a success: -0.8, -0.6, -0.4, -0.2, 0; of a failure: -1 throughout"


def _bins(world: World) -> str:
    target = np.asarray(two_hot(np.array([-1.0, -0.5, 0.0], np.float32), Support()))
    require(target.shape == (3, 201) and target.argmax(-1).tolist() == [0, 100, 200], f"{target.shape}")
    return "-1, -0.5 and 0 are bins 0, 100 and 200"


def _spec(world: World) -> str:
    world.run("stage 2")
    step = world.home / PLACE / "outputs/robot_vf/step_00000002"
    spec = load_value_spec(step)
    require("nttg" in spec.label_conventions, f"recognised as {spec.label_conventions}")
    normalised = spec.normaliser.rule if spec.normaliser else "the labels themselves"
    return f"recognised as {', '.join(spec.label_conventions)}, normalised by {normalised}"


def _split(world: World) -> str:
    world.run("stage 2")
    split = json.loads((world.home / PLACE / "outputs/robot_vf/split.json").read_text())
    sizes = [len(split[f"{part}_episodes"]) for part in ("train", "val", "test")]
    require(sizes == [8, 1, 1], f"{sizes}")
    return "8, 1 and 1 of ten episodes"


def _trained(world: World) -> str:
    output = world.run("stage 1").output
    found = re.search(r"([\d,]+) parameters, ([\d,]+) trained", output)
    require(found, "the numbers are not printed")
    model = stitched_config(
        siglip=dataclasses.replace(_tiny().siglip, image_size=42),
        gemma=_tiny().gemma,
        cameras=("base_0_rgb",),
        state_encoding="none",
    )
    leaves = model_leaves(model)
    wanted = num_parameters({n: leaf for n, leaf in leaves.items() if n.startswith("img_projection/")})
    require(
        found and int(found[2].replace(",", "")) == wanted,
        f"{found and found[2]} are trained, the projector has {wanted:,}",
    )
    return f"{found[2] if found else ''} of {found[1] if found else ''} parameters are trained: the projector's"


def _tiny():
    from pistar_vf.testing.tiny import tiny_model_config

    return tiny_model_config()


def _there(name: str):
    def check(world: World) -> str:
        require((ROOT / HERE[name]).exists(), f"{HERE[name]} is not there")
        return HERE[name]

    return check


def _nothing_large(world: World) -> str:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    kinds = (".parquet", ".mp4", ".pt", ".safetensors", ".npz", ".log")
    found = [name for name in files if name.endswith(kinds)]
    require(not found, f"{found[:3]}")
    return "no table, video, weights or log is in it"


def _refused(world: World) -> str:
    world.run("stage 2")
    ran = world._run(COMMANDS["other seed"])
    require(ran.code == 2 and "--split_seed" in ran.output, f"exit code {ran.code}")
    return "another seed is refused"


def _figures(world: World) -> str:
    output = world.run("evaluation").output
    for word in ("loss", "top-1", "top-5", "constant"):
        require(word in output, f"no {word}")
    return "loss, top-1 and top-5 of the test part, beside a constant's"


def _chance(world: World) -> str:
    found = re.search(r"top-1.*", world.run("evaluation").output)
    require(found, "no top-1")
    return "the constant baseline stands beside every figure; docs/evaluation.md: 0.5 % and 2.5 %"


def _frame_skip(world: World) -> str:
    from pistar_vf.evaluation.config import ScoreSettings

    require(ScoreSettings().frame_skip == 1, f"the default is {ScoreSettings().frame_skip}")
    return "--frame_skip, 1 by default"


def _drawn(pattern: str):
    def check(world: World) -> str:
        for name in ("stage 2", "curves", "diagrams"):
            world.run(name)
        found = sorted((world.home / PLACE).rglob(pattern))
        require(found, f"no {pattern}")
        return found[0].name

    return check


def _tmux(world: World) -> str:
    """With a tmux that runs its command at once."""
    tmux = world.ready / "programs" / "tmux"
    tmux.write_text('#!/bin/bash\n[ "$1" = has-session ] && exit 1\nshift 6\n"${@/; exec bash/}"\n')
    tmux.chmod(0o755)
    world.run("stage 1")
    command = COMMANDS["tmux"]
    places = "PARQUET_DIR=~/free/lerobot_parquet/chunk-000 VIDEO_ROOT=~/free/videos OUTPUT_BASE=tmux_outputs"
    ran = world._run(
        dataclasses.replace(command, words=f"{places} CUDA_VISIBLE_DEVICES=0 {command.words}", instead=command.instead)
    )
    log = world.home / PLACE / "tmux_outputs/robot_vf.log"
    require(ran.code == 0 and log.is_file(), ran.output[-300:])
    require("训练完成" in log.read_text(encoding="utf-8"), log.read_text(encoding="utf-8")[-300:])
    return "stage 2 in a session, from the variables at the script's top"


def _flags(*flags: str):
    def check(world: World) -> str:
        names = set(parse_config(["--data_dir", "d", "--checkpoint_dir", "c"]).flat())
        require(set(flags) <= names, f"no {set(flags) - names}")
        return ", ".join(f"--{flag}" for flag in flags)

    return check


def _page(page: str, *words: str):
    def check(world: World) -> str:
        text = (ROOT / page).read_text(encoding="utf-8")
        missing = [word for word in words if word not in text]
        require(not missing, f"{page} does not say {missing}")
        return page

    return check


_QUICK = "Quick start"
PROMISES = (
    Promise("Overview", "in: camera images and a task; out: 201 bins in [-1, 0]", _bins),
    Promise(
        "Overview",
        "trajectories above a threshold are selected",
        _page("docs/relabel.md", "pistar-vf select", "--threshold"),
    ),
    Promise("Overview", "“Advantage: Positive” for the policy", _page("docs/policies.md", "Advantage: positive")),
    Promise("Design choices", "NTTG: 0, -1, -2, … backward; failures constant low", _nttg),
    Promise("Design choices", "normalised to [-1, 0], 201 bins", _spec, quick=False),
    Promise("Design choices", "cross-entropy over the bins", _flags("label_encoding")),
    Promise("Design choices", "co-training on questions", _flags("vqa_data", "vqa_ratio", "vqa_weight")),
    Promise("Architecture", "SigLIP-SO400M (patch14-384): ~400M", _part("img/", 400e6)),
    Promise(
        "Architecture",
        "projector, MLP 1152→1152→640: ~1.5M",
        _wrong("img_projection/", "1152·1152 + 1152·640 and biases"),
    ),
    Promise("Architecture", "Gemma-3-270M-it: ~270M", _part("llm/", 270e6)),
    Promise("Architecture", "value head, Linear(640 → 201): ~130K", _part("value_head/", 130e3)),
    Promise("Architecture", "~670M in total", _wrong("total", "the sum of the parts")),
    Promise("Architecture", "stage 1 trains the projector only", _trained, quick=False),
    Promise("Architecture", "LLaVA-Instruct or The Cauldron VQAv2", _page("docs/vqa.md", "LLaVA", "Cauldron")),
    Promise("Architecture", "stage 2: projector, value head and optional LoRA", _flags("projector_path", "lora_rank")),
    Promise("Architecture", "8 : 1 : 1 by episode", _split, quick=False),
    Promise("Architecture", "the diagram of the stitched model", _drawn("architecture_stitched.png"), quick=False),
    Promise(
        "Architecture", "the diagram of the 4B VLA value function", _drawn("architecture_prev_4b_vla.png"), quick=False
    ),
    *(Promise("Repository structure", f"`{name}`", _there(name)) for name in HERE),
    Promise("Repository structure", "no datasets, checkpoints or logs", _nothing_large),
    Promise(
        "Data", "parquet with frame indices, raw NTTG labels, task text, video keys", _runs("stage 2"), quick=False
    ),
    Promise("Data", "videos by `--parquet_dir` and `--video_root`", _runs("stage 2"), quick=False),
    Promise(_QUICK, "1. `train.py --stage 1 --output_base ./outputs`", _runs("stage 1"), quick=False),
    Promise(
        _QUICK, "1. `train_alignment.py --dataset_name … --cauldron_subset vqav2`", _runs("alignment"), quick=False
    ),
    Promise(
        _QUICK,
        "2. `train.py --stage 2 --projector_path ./outputs_alignment/best_projector.pt …`",
        _runs("stage 2"),
        quick=False,
    ),
    Promise(_QUICK, "3. `./start_train_tmux.sh`", _tmux, quick=False),
    Promise(_QUICK, "4. `eval_test.py --checkpoint ./outputs/robot_vf …`", _figures, quick=False),
    Promise(_QUICK, "the same split seed keeps the test set", _refused, quick=False),
    Promise(_QUICK, "`frame_skip=1` on the test set", _frame_skip),
    Promise("Results", "test loss ~4.07, top-1 ~4.1 %, top-5 ~19.2 %", needs="their dataset, which is not published"),
    Promise("Results", "a random guess has top-1 ≈ 0.5 %", _chance, quick=False),
    Promise("Results", "the best checkpoint by validation loss", _drawn("best/step_*"), quick=False),
    Promise("Results", "epoch-by-epoch validation curves", _drawn("curves.png"), quick=False),
    Promise("Results", "value over time of a test episode", _drawn("value_curves/*/*.png"), quick=False),
    Promise("License", "SigLIP and Gemma have their own licences", _page("docs/weights.md", "Gemma terms")),
    Promise("Both languages", "English and Chinese", _page("README.zh-CN.md", "README.md")),
)
