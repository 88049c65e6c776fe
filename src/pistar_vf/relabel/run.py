"""A relabelling from settings to written labels."""

import dataclasses
import shlex
from pathlib import Path

from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.gate import check_gate
from pistar_vf.relabel.judgement import Judgement, judge
from pistar_vf.relabel.label import Labels
from pistar_vf.relabel.page import write_report
from pistar_vf.relabel.report import as_text
from pistar_vf.relabel.sidecar import doubts, write_sidecar
from pistar_vf.relabel.trajectories import Trajectory
from pistar_vf.relabel.uncertainty import disagreement_in_words
from pistar_vf.relabel.verdict import Gate
from pistar_vf.relabel.write import write_in_place, write_new_dataset


@dataclasses.dataclass(frozen=True)
class Relabelling:
    """What came of it.

    Attributes:
        labels: of all frames.
        gate: the verdict.
        report: the HTML file.
        written: where the labels are, None where nothing was written.
        num_changed: frames whose word changed.
        trajectories: the measures of every episode, in the order of the dataset.
    """

    labels: Labels
    gate: Gate
    report: Path
    written: Path | None
    num_changed: int
    trajectories: list[Trajectory]


def run_relabel(config: RelabelConfig, *, progress: bool = True) -> Relabelling:
    """Computes values, judges them, and writes labels.

    Raises:
        GateError: the gate failed and `force` is not set; nothing was written.
        GateNotShownError: there is too little evidence and `accept_not_shown` is not set; nothing was written.
        PistarError: anything a user can put right; nothing was written.
    """
    found = judge(config, progress=progress)
    words = found.words
    report = write_report(found, config.report_dir or Path("reports") / found.dataset.name)
    print(as_text(found.gate))
    if found.values.disagreement is not None:
        print(disagreement_in_words(found.values.disagreement, found.facts["ensemble"]["models"]))
    print(words.diff())
    written = None
    if not config.dry_run:
        check_gate(found.gate, config, report)
        written = _write(config, found, progress)
    print(f"report: {report} (open it in a browser)")
    num_changed = int((words.before != words.after).sum())
    return Relabelling(found.labels, found.gate, report, written, num_changed, found.trajectories)


def _write(config: RelabelConfig, found: Judgement, progress: bool) -> Path:
    dataset, words, facts, output_dir = found.dataset, found.words, found.facts, found.output_dir
    if config.output == "sidecar":
        folder = output_dir or dataset.root
        columns = doubts(found.values, found.labels, found.models[0].predictor.spec.model.support)
        value, tag = found.values.value, config.sidecar_tag
        files = write_sidecar(dataset, words, found.labels, value, facts, output_dir, tag, columns)
        print(f"labels: {', '.join(str(folder / file) for file in files)}")
        return folder
    if output_dir is not None:
        write_new_dataset(dataset, words, facts, output_dir, progress=progress)
        print(f"relabelled dataset: {output_dir}")
        return output_dir
    num_files = write_in_place(dataset, words, facts, progress=progress)
    if num_files:
        print(
            f"relabelled in place: {dataset.root} ({num_files} files); take it back with: "
            f"pistar-vf undo --data_dir {shlex.quote(str(dataset.root))}"
        )
    else:
        print(f"nothing to do: {dataset.root} holds these labels already")
    return dataset.root
