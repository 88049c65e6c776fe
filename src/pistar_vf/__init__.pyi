"""The public names for type checkers, as `__init__.py` loads them on first use."""

from pistar_vf.checkpoints.provenance import TrainedOn as TrainedOn
from pistar_vf.checkpoints.provenance import seen_episodes as seen_episodes
from pistar_vf.checkpoints.value_spec import ValueSpec as ValueSpec
from pistar_vf.checkpoints.value_spec import load_value_spec as load_value_spec
from pistar_vf.errors import CheckpointError as CheckpointError
from pistar_vf.errors import ConfigError as ConfigError
from pistar_vf.errors import DatasetError as DatasetError
from pistar_vf.errors import GateError as GateError
from pistar_vf.errors import GateNotShownError as GateNotShownError
from pistar_vf.errors import LabelError as LabelError
from pistar_vf.errors import MessageError as MessageError
from pistar_vf.errors import NonFiniteLossError as NonFiniteLossError
from pistar_vf.errors import PistarError as PistarError
from pistar_vf.errors import TokenizerError as TokenizerError
from pistar_vf.errors import VideoError as VideoError
from pistar_vf.evaluation.config import EvalConfig as EvalConfig
from pistar_vf.evaluation.run import Evaluation as Evaluation
from pistar_vf.evaluation.run import run_eval as run_eval
from pistar_vf.health.check import HealthReport as HealthReport
from pistar_vf.health.check import check_dataset as check_dataset
from pistar_vf.inference.predictor import Prediction as Prediction
from pistar_vf.inference.predictor import ValuePredictor as ValuePredictor
from pistar_vf.inference.predictor import load_value_model as load_value_model
from pistar_vf.labels.outcomes import read_outcomes as read_outcomes
from pistar_vf.lerobot.dataset import LeRobotDataset as LeRobotDataset
from pistar_vf.lerobot.dataset import load_lerobot as load_lerobot
from pistar_vf.recipes.config import TrainConfig as TrainConfig
from pistar_vf.recipes.label import run_label as run_label
from pistar_vf.recipes.label_config import LabelConfig as LabelConfig
from pistar_vf.recipes.presets import find_preset as find_preset
from pistar_vf.recipes.run import run_training as run_training
from pistar_vf.relabel.config import RelabelConfig as RelabelConfig
from pistar_vf.relabel.run import Relabelling as Relabelling
from pistar_vf.relabel.run import run_relabel as run_relabel
from pistar_vf.returns.advantages import gae_advantages as gae_advantages
from pistar_vf.returns.advantages import monte_carlo_advantages as monte_carlo_advantages
from pistar_vf.returns.advantages import n_step_advantages as n_step_advantages
from pistar_vf.returns.columns import recap_columns as recap_columns
from pistar_vf.returns.normaliser import Normaliser as Normaliser
from pistar_vf.returns.outcome import Outcome as Outcome
from pistar_vf.serving.monitor import AlarmRule as AlarmRule
from pistar_vf.serving.monitor import Reading as Reading
from pistar_vf.serving.monitor import ValueMonitor as ValueMonitor

__version__: str
