"""A home folder with stand-ins of everything that the documents speak of, and a shell in it."""

import dataclasses
import functools
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sentencepiece

from pistar_vf.curation.labelled_copy import write_labelled_copy
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.models.sizes import GEMMA_VARIANTS, SIGLIP_VARIANTS
from pistar_vf.models.value_config import ValueModelConfig, stitched_config
from pistar_vf.testing.demo_dataset import write_demo_dataset
from pistar_vf.testing.fake_weights import random_params, write_fake_bundle
from pistar_vf.testing.vqa_dataset import create_shape_pictures, write_cauldron
from pistar_vf.weights.export import export_huggingface
from promised.promise import Command, NotHeldError
from promised.tiny_python import shrink

ROOT = Path(__file__).resolve().parents[2]
LAYERS = 18
"""Of the published language model: the bundle has 241 leaves."""
NUM_EPISODES = 10
CAMERAS = ("base_0_rgb", "wrist_0_rgb")
_ACCELERATE = """#!/bin/sh
# What `accelerate launch` does: N processes of the interpreter, each told who it is.
shift; n=1
while [ "${1#--}" != "$1" ]; do case "$1" in --num_processes=*) n="${1#*=}";; esac; shift; done
export WORLD_SIZE=$n MASTER_ADDR=127.0.0.1 MASTER_PORT=${DOCUMENTS_PORT:-29500}
i=0; pids=""
while [ $i -lt $n ]; do RANK=$i LOCAL_RANK=$i python "$@" & pids="$pids $!"; i=$((i + 1)); done
code=0; for pid in $pids; do wait $pid || code=$?; done; exit $code
"""


@dataclasses.dataclass(frozen=True)
class Ran:
    """A command that has ended: what it printed, its exit code, and what was typed."""

    output: str
    code: int
    typed: str


class World:
    """The home folder.

    Args:
        folder: for everything; made.
        commands: by name, of all documents.
    """

    def __init__(self, folder: Path, commands: dict[str, Command]):
        self.home = folder.absolute() / "home"
        self.commands = commands
        self._ran: dict[str, Ran] = {}

    @functools.cached_property
    def ready(self) -> Path:
        """The home folder, furnished."""
        self.home.mkdir(parents=True)
        self._write_programs()
        stage4, stitched = self.home / "limb" / "pistar", self.home / "value_function_stitched"
        stage4.mkdir(parents=True)
        stitched.mkdir()
        (stage4 / "scripts").symlink_to(ROOT / "scripts")
        for script in (ROOT / "scripts").iterdir():
            (stitched / script.name).symlink_to(script)
        self._write_datasets()
        self._write_weights()
        return self.home

    def run(self, name: str) -> Ran:
        """A command by its name, run once.

        Raises:
            NotHeldError: it ended with another exit code than 0; its last lines.
        """
        for earlier in self.commands[name].after:
            self.run(earlier)
        if name not in self._ran:
            self._ran[name] = self._run(self.commands[name])
        ran = self._ran[name]
        if ran.code:
            lines = [line for line in ran.output.strip().splitlines() if line.strip()]
            raise NotHeldError(f"exit code {ran.code}: {' '.join(lines[-3:])[-300:]}")
        return ran

    def _run(self, command: Command) -> Ran:
        home = self.ready
        kept = {name: os.environ[name] for name in ("LANG", "TMPDIR", "VIRTUAL_ENV") if name in os.environ}
        env = {
            **kept,
            "HOME": str(home),
            "PATH": f"{home / 'programs'}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'benchmarks'}",
            "PYTHONIOENCODING": "utf-8",
            "PYTHONUNBUFFERED": "1",
            "JAX_PLATFORMS": "cpu",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "MPLCONFIGDIR": os.environ.get("MPLCONFIGDIR", str(Path("~/.config/matplotlib").expanduser())),
            "DOCUMENTS_LAYERS": str(command.layers),
        }
        if not version("jax").startswith("0.5."):
            env["JAX_COMPILATION_CACHE_DIR"] = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(home / "xla"))
        typed = command.typed()
        shell = ["bash", "-c", typed]
        together = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}  # in the order in which a reader sees it
        ran = subprocess.run(shell, cwd=home / command.place, env=env, text=True, timeout=1800, **together)
        return Ran(ran.stdout.replace(str(home), "~"), ran.returncode, typed)

    def _write_programs(self) -> None:
        """`python` that knows the tiny sizes; `accelerate`, where it is not installed, as it begins processes."""
        programs = self.home / "programs"
        programs.mkdir()
        tiny = Path(__file__).with_name("tiny_python.py")
        (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tiny}" "$@"\n')
        installed = shutil.which("accelerate") or shutil.which("accelerate", path=str(Path(sys.executable).parent))
        if installed is None:
            (programs / "accelerate").write_text(_ACCELERATE)
        else:
            (programs / "accelerate").symlink_to(installed)
        for program in programs.iterdir():
            program.chmod(0o755)
        activate = self.home / ".venvs" / "pistar" / "bin" / "activate"
        activate.parent.mkdir(parents=True)
        activate.write_text(f'export PATH="{programs}:$PATH"\n')

    def _write_datasets(self) -> None:
        """A labelled v2.1 dataset, its link in LeRobot's cache, its tables and videos as free folders; questions."""
        folder = self.home / "made"
        raw = load_lerobot(write_demo_dataset(folder / "raw", num_episodes=NUM_EPISODES, image_size=28))
        outcomes = read_outcomes(raw, outcome_column="outcome")
        data = self.home / "limb" / "datasets" / "vial_rollout_v1_v21"
        write_labelled_copy(raw, data, outcomes, timeout_as="failure", progress=False)
        link = self.home / ".cache" / "huggingface" / "lerobot" / "local" / data.name
        link.parent.mkdir(parents=True)
        link.symlink_to(data)
        write_free_folders(data, self.home / "free")
        pictures = create_shape_pictures(60, image_size=28)
        questions = write_cauldron(self.home / "made" / "questions", pictures)
        snapshot = self.home / ".cache/huggingface/hub/datasets--HuggingFaceM4--the_cauldron/snapshots/0"
        snapshot.mkdir(parents=True)
        shutil.copytree(questions / "shapes", snapshot / "vqav2")
        words = [text for picture in pictures for turn in picture.turns for text in turn]
        self.tokenizer = _tokenizer((*words, *raw.prompts))

    def _write_weights(self) -> None:
        """The bundle at both of its places, and the towers as Hugging Face folders."""
        towers = dict(SIGLIP_VARIANTS), dict(GEMMA_VARIANTS)
        try:
            shrink(LAYERS)
            sizes = {"gemma": GEMMA_VARIANTS["gemma3_270m"], "cameras": CAMERAS, "state_encoding": "none"}
            bundle = self.home / "vlm_ckpt"
            params = random_params(ValueModelConfig(siglip=SIGLIP_VARIANTS["So400m/14"], **sizes))
            write_fake_bundle(bundle, params, head="random", tokenizer_model=self.tokenizer, base_weights=True)
            (self.home / "Downloads").mkdir()
            (self.home / "Downloads" / "vlm_ckpt").symlink_to(bundle)
            shrink(2)
            sizes["gemma"] = GEMMA_VARIANTS["gemma3_270m"]
            model = stitched_config(siglip=SIGLIP_VARIANTS["So400m/14-384"], **sizes)
            export_huggingface(random_params(model), self.home / "towers", model, np.float32)
            (self.home / "towers" / "gemma-3-270m" / "tokenizer.model").write_bytes(self.tokenizer)
        finally:
            for variants, before in zip((SIGLIP_VARIANTS, GEMMA_VARIANTS), towers):
                variants.update(before)


def _tokenizer(texts: Sequence[str]) -> bytes:
    """A small one with the pieces of Gemma 3 that its chat template needs, and its special ids."""
    lines, model = sorted({line for text in texts for line in text.splitlines() if line.strip()}), io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="bpe",
        vocab_size=512,
        hard_vocab_limit=False,
        byte_fallback=True,
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        user_defined_symbols=["\n", "<start_of_turn>", "<end_of_turn>"],
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        minloglevel=2,
    )
    return model.getvalue()


def write_free_folders(data: Path, folder: Path) -> None:
    """Parquet files with the columns that the document names, videos somewhere else, no metadata.

    Labels are raw ones: frames to the end, and one low number in failures.
    """
    tables = folder / "lerobot_parquet" / "chunk-000"
    tables.mkdir(parents=True)
    dataset = load_lerobot(data)
    for episode in dataset.episodes:
        table = pq.read_table(episode.parquet)
        success = table["value_label"][-1].as_py() == 0
        labels = np.arange(1.0 - episode.length, 1) if success else np.full(episode.length, -1000.0)
        kept = table.select(["episode_index", "frame_index", "observation.state"])
        kept = kept.append_column("value_label", pa.array(labels, pa.float32()))
        for name, words in (("task", episode.tasks[0]), ("video_key", dataset.camera_keys[0])):
            kept = kept.append_column(name, pa.array([words] * episode.length))
        pq.write_table(kept, tables / episode.parquet.name)
    shutil.copytree(data / "videos", folder / "videos")
