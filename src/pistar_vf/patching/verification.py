"""Runs the fork's stages, tiny, in its own Python, and says of each patch what was seen.

A copy of the checkout runs; where a stage stops with a patch's error, the patch goes into the copy, and the stage runs
again. The checkout itself is never touched.
"""

import dataclasses
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.patching.patch_file import Patch, number, select
from pistar_vf.patching.plan import all_changes, make_plan

_COPIED = ("src", "scripts", "gemma", "packages", "stubs", ".gitignore")
_TIMEOUT_SECONDS = 3600.0
_ERROR = re.compile(r"^(?:\w+\.)*(\w*(?:Error|Exception|Exit)\w*: .*)$", re.MULTILINE)
_SMALLER = (
    ("gemma/gemma/gm/nn/_gemma.py", r"(?m)^_NUM_LAYERS_GEMMA3_270M = \d+", "_NUM_LAYERS_GEMMA3_270M = 2"),
    ("gemma/gemma/gm/nn/_gemma.py", r"(class Gemma3_270M\b[^:]*:(?:(?!\nclass ).)*?num_embed=)\d+", r"\g<1>512"),
    ("src/openpi/models/siglip.py", r'("depth": \{(?:(?!\}).)*?"So400m": )\d+', r"\g<1>1"),
)
"""What makes the model small enough: layers and vocabulary; the widths stay."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """One thing that is run.

    Attributes:
        name: as in a patch's `stage`.
        words: the command behind `python`; `{data}`, `{copy}` (of the data), `{tokenizer}` and `{out}` are filled in.
    """

    name: str
    words: tuple[str, ...]


_IMPORT = "import runpy; [runpy.run_path('scripts/' + name, run_name='probe') for name in {!r}]"
STAGES = (
    Stage("imports", ("-c", _IMPORT.format(["train_value.py", "label_advantage_from_vlm.py"]))),
    Stage(
        "train",
        (
            *("scripts/train_value.py", "--data_dir", "{data}", "--checkpoint_dir", "{out}/checkpoints"),
            *("--tokenizer_path", "{tokenizer}", "--batch_size", "2", "--num_train_steps", "2", "--num_workers", "0"),
            *("--save_interval", "100", "--val_interval", "0", "--wandb_mode", "disabled"),
        ),
    ),
    Stage(
        "label",
        (
            *("scripts/label_advantage_from_vlm.py", "--data_dir", "{copy}", "--checkpoint_dir", "{out}/checkpoints"),
            *("--tokenizer_path", "{tokenizer}", "--batch_size", "4", "--num_workers", "0"),
            *("--base_image_col", "observation.images.head_camera"),
            *("--wrist_image_col", "observation.images.left_wrist_camera"),
        ),
    ),
)
"""Imports; two steps, which take their batches first; labels of a few frames."""


@dataclasses.dataclass(frozen=True)
class Sight:
    """What was seen of one patch's fault.

    Attributes:
        patch: its id.
        seen: whether the error came.
        text: one line for people.
    """

    patch: str
    seen: bool
    text: str


def fork_python(root: Path, given: str) -> Path | None:
    """The fork's own Python: the one that is given, else that of `.venv` in the checkout; None where there is none."""
    found = Path(given).expanduser() if given else root / ".venv" / "bin" / "python"
    return found.absolute() if os.access(found, os.X_OK) else None


def verify(
    root: Path,
    python: Path,
    patches: Sequence[Patch],
    places: Mapping[str, Path],
    stages: Sequence[Stage] = STAGES,
    say: Callable[[str], None] = print,
) -> tuple[list[Sight], str]:
    """Runs every stage on a copy, and patches the copy where a known error comes.

    Args:
        root: the checkout.
        python: that runs it.
        patches: all of them.
        places: `data` (a labelled dataset), `tokenizer` (a file) and `out` (an empty folder for the copy and more).
        stages: what to run.
        say: receives one line for every run.

    Returns:
        One sight for each patch, by number, and the error that no patch is for; "" where all stages ran.
    """
    copy = _copy(root, places["out"] / "fork")
    seen: dict[str, str] = {}
    reached: list[str] = []
    for stage in stages:
        error = _through(stage, copy, python, patches, places, seen, say)
        if error:
            return _sights(patches, seen, reached, f"{stage.name} stopped with {error}"), error
        reached.append(stage.name)
    return _sights(patches, seen, reached, "no stage runs it"), ""


def _copy(root: Path, copy: Path) -> Path:
    left_out = shutil.ignore_patterns(".git", "__pycache__", "*.egg-info")
    for name in _COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, copy / name, ignore=left_out, ignore_dangling_symlinks=True)
        elif (root / name).is_file():
            shutil.copy(root / name, copy / name)
    for file, pattern, smaller in _SMALLER:
        path = copy / file
        if path.is_file():
            path.write_text(re.sub(pattern, smaller, path.read_text("utf-8"), count=1, flags=re.DOTALL), "utf-8")
    return copy


def _through(
    stage: Stage,
    copy: Path,
    python: Path,
    patches: Sequence[Patch],
    places: Mapping[str, Path],
    seen: dict[str, str],
    say: Callable[[str], None],
) -> str:
    """Runs a stage until it passes, or stops with an error that no patch cures; that error.

    `seen` receives the patches that went in: the error of one, and of the others with which one they did.
    """
    while True:
        error = run_stage(stage, copy, python, places)
        say(f"{stage.name}: {error or 'ran'}")
        cure = _cure(error, stage, copy, patches) if error else []
        if not cure:
            return error
        for name in cure[:-1]:
            seen.setdefault(name, f"not seen: it went in with patch {cure[-1]}, which it comes before")
        seen[cure[-1]] = f"seen: {error}; gone with the patch"


def run_stage(stage: Stage, copy: Path, python: Path, places: Mapping[str, Path]) -> str:
    """Runs a stage in a copy; the error that it stops with, in one line, or ""."""
    labelled = places["out"] / "labelled"
    shutil.rmtree(labelled, ignore_errors=True)
    shutil.copytree(places["data"], labelled)
    words = [word.format(**places, copy=labelled) for word in stage.words]
    paths = [str(copy / folder) for folder in ("stubs", "src", "gemma", "packages/openpi-client/src")]
    inherited = [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
    settings = {"JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(places["out"] / "cache")}
    environment = {**os.environ, **settings, "PYTHONPATH": os.pathsep.join([*paths, *inherited])}
    try:
        run = subprocess.run(
            [str(python), *words],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"TimeoutError: no end after {_TIMEOUT_SECONDS:.0f} s"
    if run.returncode == 0:
        return ""
    found = _ERROR.findall(run.stderr)
    return found[-1] if found else f"exit code {run.returncode}: {run.stderr.strip().splitlines()[-1:]}"


def _cure(error: str, stage: Stage, copy: Path, patches: Sequence[Patch]) -> list[str]:
    """Applies the patch whose error it is, with those that come first, to the copy; their ids, its own as the last."""
    for patch in _candidates(error, stage, patches):
        plan = make_plan(select(tuple(patches), patch.id), SourceTree(copy))
        needed = [step.patch.id for step in plan if step.status == "needed"]
        if patch.id in needed:
            for file, (_, after) in all_changes(plan).items():
                (copy / file).parent.mkdir(parents=True, exist_ok=True)
                (copy / file).write_bytes(after or b"")
            return [*(name for name in needed if name != patch.id), patch.id]
    return []


def _candidates(error: str, stage: Stage, patches: Sequence[Patch]) -> list[Patch]:
    """The patches of an error, those of the stage first."""
    fitting = [patch for patch in patches if any(_same(error, symptom) for symptom in patch.symptom)]
    return sorted(fitting, key=lambda patch: (patch.stage != stage.name, number(patch.id)))


def _same(error: str, symptom: str) -> bool:
    """Whether an error is a patch's; types and modules are named differently by different versions."""
    if error.startswith(symptom):
        return True
    kind, _, text = symptom.partition(": ")
    loose = re.sub(r"jaxlib\\?\.[\w\\.]+", r".*", re.escape(text)).replace("__main__", r"\w+")
    return error.startswith(f"{kind}: ") and re.search(loose, error) is not None


def _sights(patches: Sequence[Patch], seen: Mapping[str, str], reached: Sequence[str], stopped: str) -> list[Sight]:
    found = []
    for patch in sorted(patches, key=lambda patch: number(patch.id)):
        if patch.id in seen:
            found.append(Sight(patch.id, seen[patch.id].startswith("seen: "), seen[patch.id]))
        elif patch.stage in reached:
            found.append(Sight(patch.id, False, f"not seen: {patch.stage} ran"))
        elif not patch.stage:
            found.append(Sight(patch.id, False, "not looked at: no stage shows it"))
        else:
            found.append(Sight(patch.id, False, f"not reached: {stopped}"))
    return found
