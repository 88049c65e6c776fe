"""Stand-ins for gemma and what it imports, drifted apart the way the published versions have."""

import os
import subprocess
import sys
from pathlib import Path

import pistar_vf

DRIFTED = {
    "gemma/__init__.py": "",
    "gemma/gm/__init__.py": """
import importlib
def __getattr__(name):
    if name in ("ckpts", "nn", "text"):
        return importlib.import_module(f"gemma.gm.{name}")
    raise AttributeError(name)
""",
    "gemma/gm/nn.py": """
def __dir__():
    return ["Gemma3_270M"]
def __getattr__(name):
    from gemma.gm import _models
    return getattr(_models, name)
""",
    "gemma/gm/_models.py": """
import kauldron.random
from gemma.gm import ckpts
from kauldron.typing import typechecked
@typechecked
def Gemma3_270M(width):
    return f"a model of width {width}"
""",
    "gemma/gm/text.py": "",
    "gemma/gm/ckpts/__init__.py": """
from gemma.gm.ckpts._checkpoint import LoadCheckpoint, load_params
from gemma.gm.ckpts._policy import AnchoredPolicyLoader
""",
    "gemma/gm/ckpts/_checkpoint.py": """
import kauldron.checkpoints
import orbax.checkpoint
class LoadCheckpoint(kauldron.checkpoints.AbstractPartialLoader):
    pass
def load_params(path):
    return orbax.checkpoint.Checkpointer().metadata(path).item_metadata.tree
""",
    "gemma/gm/ckpts/_policy.py": """
import kauldron.train
class AnchoredPolicyLoader:
    pass
""",
    "kauldron/__init__.py": "",
    "kauldron/train.py": "import tensorboard",
    "kauldron/checkpoints.py": """
class InitTransform:
    pass
""",
    "kauldron/random.py": """
from jax._src import random
check = random._check_prng_key
random._check_prng_key = lambda key: check(f"unwrapped {key}")
""",
    "kauldron/typing.py": """
import tensorflow
import typeguard._functions
array_types = (tensorflow.Tensor,)
class TypeCheckError(Exception):
    pass
def typechecked(function):
    def checked(x):
        try:
            typeguard._functions.check_argument_types(function.__name__, {"x": (x, int)}, memo=None)
            result = function(x)
            typeguard._functions.check_return_type(function.__name__, result, str, None)
        except TypeError as error:
            raise TypeCheckError(f"Unknown error '{error}' occurred") from error
        return result
    return checked
""",
    "jax/__init__.py": "",
    "jax/_src/__init__.py": "from jax._src import random",
    "jax/_src/random/__init__.py": "",
    "jax/_src/random/core.py": """
def _check_prng_key(key):
    return key
def normal(key):
    return _check_prng_key(key)
""",
    "orbax/checkpoint/__init__.py": """
from orbax.checkpoint._src.metadata.checkpoint import StepMetadata
from orbax.checkpoint._src.metadata.tree import _TreeMetadataImpl
class Checkpointer:
    def metadata(self, directory: str) -> StepMetadata | None:
        return _TreeMetadataImpl()
""",
    "orbax/checkpoint/_src/metadata/checkpoint.py": """
from orbax.checkpoint._src.metadata.tree import _TreeMetadataImpl
class StepMetadata:
    item_metadata = _TreeMetadataImpl()
""",
    "orbax/checkpoint/_src/metadata/tree.py": """
class _TreeMetadataImpl:
    tree = "shapes"
""",
    "typeguard/__init__.py": "",
    "typeguard/_functions.py": """
def check_argument_types():
    return "of the calling function"
def check_return_type(value):
    return "of the calling function"
def check_argument_types_internal(name, arguments, memo):
    return True
def check_return_type_internal(name, value, annotation, memo):
    return True
""",
}

FITTING = {
    "tensorflow": {"tensorflow.py": "class Tensor:\n    pass", "tensorboard.py": ""},
    "jax._src.random._check_prng_key": {
        "kauldron/random.py": DRIFTED["kauldron/random.py"].replace("jax._src import", "jax._src.random import core as")
    },
    "typeguard._functions.check_argument_types": {
        "kauldron/typing.py": DRIFTED["kauldron/typing.py"]
        .replace("check_argument_types(", "check_argument_types_internal(")
        .replace("check_return_type(", "check_return_type_internal(")
    },
    "kauldron.checkpoints.AbstractPartialLoader": {
        "kauldron/checkpoints.py": "class AbstractPartialLoader:\n    pass\nclass InitTransform:\n    pass"
    },
    "orbax.checkpoint.Checkpointer.metadata": {
        "orbax/checkpoint/__init__.py": DRIFTED["orbax/checkpoint/__init__.py"]
        .replace(" | None", "")
        .replace("return _TreeMetadataImpl", "return StepMetadata")
    },
}
"""What each shim does not need to repair: the files of versions that fit."""


def run(folder: Path, code: str, files: dict[str, str | None] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs `code` where only the fake packages, this library and what supports its tests can be imported.

    Args:
        folder: where the packages are written.
        code: a program.
        files: other content than `DRIFTED` has; None leaves the file out.
    """
    for name, text in ({**DRIFTED, **(files or {})}).items():
        if text is None:
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    metadata = folder / "pistar_vf-0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: pistar-vf\nVersion: 0\n")
    source = Path(pistar_vf.__file__).parents[1]
    tests = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(folder), str(source), str(tests)])
    # -S: nothing that happens to be installed.
    return subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, timeout=60
    )
