"""The value function of RECAP (π*0.6): train, inspect and trust V(o_t) on LeRobot datasets, in JAX/Flax.

Every name of `__all__` is described in docs/api.md with an example; everything else may change from one version to
the next.
"""

import importlib
from importlib import metadata
from typing import Any

__version__ = metadata.version("pistar-vf")

# Loaded on first use, so that `import pistar_vf` stays light; `__init__.pyi` says the same to type checkers.
_MODULES = {
    "pistar_vf.lerobot.dataset": ("LeRobotDataset", "load_lerobot"),
    "pistar_vf.health.check": ("HealthReport", "check_dataset"),
    "pistar_vf.returns.outcome": ("Outcome",),
    "pistar_vf.returns.normaliser": ("Normaliser",),
    "pistar_vf.returns.columns": ("recap_columns",),
    "pistar_vf.returns.advantages": ("gae_advantages", "monte_carlo_advantages", "n_step_advantages"),
    "pistar_vf.labels.outcomes": ("read_outcomes",),
    "pistar_vf.recipes.label_config": ("LabelConfig",),
    "pistar_vf.recipes.label": ("run_label",),
    "pistar_vf.recipes.config": ("TrainConfig",),
    "pistar_vf.recipes.presets": ("find_preset",),
    "pistar_vf.recipes.run": ("run_training",),
    "pistar_vf.inference.predictor": ("Prediction", "ValuePredictor", "load_value_model"),
    "pistar_vf.checkpoints.value_spec": ("ValueSpec", "load_value_spec"),
    "pistar_vf.checkpoints.provenance": ("TrainedOn", "seen_episodes"),
    "pistar_vf.evaluation.config": ("EvalConfig",),
    "pistar_vf.evaluation.run": ("Evaluation", "run_eval"),
    "pistar_vf.relabel.config": ("RelabelConfig",),
    "pistar_vf.relabel.run": ("Relabelling", "run_relabel"),
    "pistar_vf.serving.monitor": ("AlarmRule", "Reading", "ValueMonitor"),
    "pistar_vf.errors": (
        "CheckpointError",
        "ConfigError",
        "DatasetError",
        "GateError",
        "GateNotShownError",
        "LabelError",
        "MessageError",
        "NonFiniteLossError",
        "PistarError",
        "TokenizerError",
        "VideoError",
    ),
}
_LAZY = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'pistar_vf' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
