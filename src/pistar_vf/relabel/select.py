"""The best trajectories of a dataset: a ranked list, and a dataset of them."""

from pathlib import Path

from pistar_vf.changes.staging import check_output
from pistar_vf.curation.merge import merge_datasets
from pistar_vf.errors import ConfigError, GateError, GateNotShownError
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.lerobot.episode import EpisodeChoice
from pistar_vf.lerobot.metadata import find_dataset
from pistar_vf.relabel.run import Relabelling, run_relabel
from pistar_vf.relabel.select_config import SelectConfig
from pistar_vf.relabel.trajectories import as_table, rank, select, write_list
from pistar_vf.relabel.verdict import Verdict


def run_select(config: SelectConfig, *, progress: bool = True) -> Path:
    """Ranks, writes the list and, where asked for, the dataset.

    Returns:
        The dataset, else the list.

    Raises:
        ConfigError: the flags contradict each other, or nothing is left to write.
        GateError: the gate failed, or shows too little, and `force` is not set; the list is written, the dataset not.
        PistarError: see `run_relabel`.
    """
    if config.result.output_dir is not None:
        check_output(find_dataset(config.data.data_dir), config.result.output_dir)
    judged = run_relabel(config.relabelling, progress=progress)
    ranked = rank(judged.trajectories, config.choice.by)
    taken = select(ranked, config.choice)
    listed = write_list(judged.report.with_name("trajectories.csv"), ranked, taken, config.choice.by)
    print(as_table(ranked, taken))
    print(f"{int(taken.sum())} of {len(ranked)} trajectories selected by {config.choice.by}: {listed}")
    if config.result.output_dir is None:
        return listed
    if not taken.any():
        raise ConfigError(
            f"--threshold {config.choice.threshold}: expected one trajectory at least, got none; see {listed}"
        )
    if not config.result.force:
        _check_gate(judged, listed)
    chosen = [trajectory.episode_index for trajectory, chosen in zip(ranked, taken) if chosen]
    return _write(config.data.data_dir, chosen, config.result.output_dir, progress)


def _check_gate(judged: Relabelling, listed: Path) -> None:
    names = ", ".join(judged.gate.named(judged.gate.verdict))
    if judged.gate.verdict is Verdict.FAILED:
        raise GateError(
            f"the gate failed ({names}), so the ranking means little: {judged.report} says why. Only {listed} was "
            "written; --force writes the dataset all the same"
        )
    if judged.gate.verdict is Verdict.NOT_SHOWN:
        raise GateNotShownError(
            f"the evidence is too little for a verdict ({names}), so the ranking may mean little: {judged.report} says "
            f"what would show it. Only {listed} was written; --force writes the dataset all the same"
        )


def _write(data_dir: str, chosen: list[int], output_dir: Path, progress: bool) -> Path:
    dataset = load_lerobot(data_dir, choice=EpisodeChoice(only=tuple(sorted(chosen))))
    return merge_datasets([dataset], output_dir, progress=progress)
