"""The picture of a run: what policies do under each label, and how labels follow the progress gained."""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from simulated.measures import Estimate
from simulated.results import Results, TaskResults


def draw(results: Results, path: Path) -> None:
    """Writes a PNG; a row per task that was tried."""
    tried = {task: own for task, own in results.tasks.items() if own.won}
    figure, axes = plt.subplots(max(1, len(tried)), 2, figsize=(12, 4.5 * max(1, len(tried))), squeeze=False)
    for row, (task, own) in zip(axes, tried.items()):
        _draw_arms(row[0], task, own)
        _draw_labels(row[1], own)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _draw_arms(ax: Axes, task: str, own: TaskResults) -> None:
    names = sorted(own.won, key=lambda name: own.won[name].mean())
    for place, name in enumerate(names):
        seeds = own.won[name].mean(1)
        ax.barh(place, seeds.mean(), color="tab:blue", alpha=0.5)
        ax.plot(seeds, np.full(len(seeds), place), "k.", markersize=4)
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel(f"{task}: success rate; a dot is a policy's seed")


def _draw_labels(ax: Axes, own: TaskResults) -> None:
    names = sorted(own.labels, key=lambda name: np.nan_to_num(own.labels[name].in_failures.figure))
    for place, name in enumerate(names):
        estimate: Estimate = own.labels[name].in_failures
        ax.plot([estimate.low, estimate.high], [place, place], color="tab:blue")
        ax.plot(estimate.figure, place, "o", color="tab:blue")
    ax.axvline(0.5, color="grey", linewidth=0.8)
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("AUC of “positive” for the progress gained, inside failures")
