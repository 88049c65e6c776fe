"""Kinds of drift that were missed, or seen where there is no fault, each beside one that only looks like it.

Oracle: the code, read by hand; every pair was written before it was judged.
"""

import pytest
from support.drift import write_edits
from support.later_upstream import write_later_upstream
from support.mini_upstream import write_mini_upstream

from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.patching.journal import write_step
from pistar_vf.patching.patch_file import load_patches, select
from pistar_vf.patching.plan import make_plan, refuse_conflicts

PATCHES = load_patches()
TRAIN, LABEL = "scripts/train_value.py", "scripts/label_advantage_from_vlm.py"
CONFIG, LOADER, WEIGHTS, READER = (
    f"src/openpi/training/{name}.py" for name in ("config", "data_loader", "weight_loaders", "value_data_loader")
)
MODEL = "src/openpi/models/value_model_config.py"
FAULTY, SOUND = ("needed", "conflict"), ("applied", "fixed differently", "not applicable")


def step_of(root, name):
    plan = make_plan(select(PATCHES, name), SourceTree(root))
    return next(step for step in plan if step.patch.id == name)


def judged(tmp_path, name, edits, later=False):
    root = (write_later_upstream if later else write_mini_upstream)(tmp_path / "fork")
    write_edits(root, edits)
    step = step_of(root, name)
    assert step.reason
    return step


# --- the folder, and what the loader opens ---------------------------------------------------------------------------

LAST = "    prompt_from_task: bool = False\n"
FIELD = [CONFIG, LAST, f"{LAST}    local_data_dir: str | None = None\n"]
READ = "lerobot_stub.read(data_config.repo_id, data_config.action_sequence_keys)"
ASKS = "    frames = lerobot_stub"
CHECK = "    if ({}) is None:\n        raise ValueError('Which dataset?')\n"
EITHER = "data_config.local_data_dir or data_config.repo_id"
FOLDERS = {
    "the loader does not read the field": ([FIELD, [LOADER, ASKS, CHECK.format("data_config.repo_id") + ASKS]], FAULTY),
    "the loader reads it once, and opens something else": (
        [FIELD, [LOADER, ASKS, CHECK.format(EITHER) + ASKS]],
        FAULTY,
    ),
    "the loader reads it": ([FIELD, [LOADER, READ, READ.replace("data_config.repo_id", EITHER)]], SOUND),
    "another name, everywhere": (
        [
            [CONFIG, LAST, f"{LAST}    folder: str | None = None\n"],
            [TRAIN, "local_data_dir=local_data_dir", "folder=local_data_dir"],
            [LOADER, READ, READ.replace("repo_id", "folder")],
        ],
        SOUND,
    ),
    "another name, which the loader does not know": (
        [
            [CONFIG, LAST, f"{LAST}    folder: str | None = None\n"],
            [TRAIN, "local_data_dir=local_data_dir", "folder=local_data_dir"],
        ],
        FAULTY,
    ),
}


@pytest.mark.parametrize(("edits", "statuses"), FOLDERS.values(), ids=FOLDERS)
def test_the_folder_is_what_the_loader_opens(tmp_path, edits, statuses):
    assert judged(tmp_path, "8", edits).status in statuses


BUILDER = """
import openpi.training.config as _config


def value_config(folder):
    return _config.DataConfig(local_data_dir=str(folder){})
"""
BUILT = "    return value_config.value_config(local_data_dir)\n\n\ndef unused_config(local_data_dir, config):\n"


@pytest.mark.parametrize(("keys", "statuses"), [("", FAULTY), (", action_sequence_keys=()", SOUND)])
def test_a_fault_behind_another_one_is_seen(tmp_path, keys, statuses):
    """The folder is refused, and the dataset would be asked for actions next."""
    edits = [
        ["src/openpi/training/value_config.py", "", BUILDER.format(keys)],
        [
            TRAIN,
            "import openpi.training.config",
            "from openpi.training import value_config\nimport openpi.training.config",
        ],
        [TRAIN, "    return _config.DataConfig(", f"{BUILT}    return dict("],
    ]
    assert judged(tmp_path, "9", edits).status in statuses


@pytest.mark.parametrize(("line", "statuses"), [("local_data_dir = None", FAULTY), ("local_data_dir: str = ''", SOUND)])
def test_what_has_no_annotation_is_no_field(tmp_path, line, statuses):
    assert judged(tmp_path, "19", [[CONFIG, LAST, f"{LAST}    {line}\n"]], later=True).status in statuses


SWITCH = "    if data_config.local_data_dir is not None and os.environ.get('OWN_READER'{}) == '1':\n"


@pytest.mark.parametrize(("default", "statuses"), [("", SOUND), (", '1'", FAULTY)])
@pytest.mark.parametrize("patch", ["17", "18"])
def test_a_reader_behind_a_switch(tmp_path, patch, default, statuses):
    edits = [
        FIELD,
        [LOADER, "import lerobot_stub\n", "import os\n\nimport lerobot_stub\n"],
        [LOADER, "    if data_config.local_data_dir is not None:\n", SWITCH.format(default)],
        [LOADER, READ, READ.replace("data_config.repo_id", EITHER)],
    ]
    assert judged(tmp_path, patch, edits, later=True).status in statuses
    if statuses == SOUND:  # LeRobot gets the folder, and is asked for actions
        assert step_of(tmp_path / "fork", {"17": "9", "18": "14"}[patch]).status == "needed"


OPENED = "    return _data_loader.create_torch_dataset(data_config, 1, None)\n"
OWN = "    return lerobot_dataset.LeRobotDataset('local', root=data_dir{})\n"
IMPORT = [LABEL, "import jax\n", "import jax\nfrom lerobot.common.datasets import lerobot_dataset\n"]


@pytest.mark.parametrize(
    ("more", "statuses"),
    [("", SOUND), (", delta_timestamps=dict.fromkeys(data_config.action_sequence_keys)", ("cannot tell",))],
)
def test_a_script_that_opens_its_dataset_itself(tmp_path, more, statuses):
    edits = [IMPORT, [LABEL, OPENED, OWN.format(more)], [LABEL, "        local_data_dir=str(data_dir),\n", ""]]
    assert judged(tmp_path, "14", edits).status in statuses


CALLED = "    data_config = _config.DataConfig(\n        local_data_dir=str(data_dir),\n"
BY_NAME = "    data_config = _config.DataConfig(\n        repo_id=str(data_dir),\n"


@pytest.mark.parametrize(
    ("change", "statuses"), [("action_sequence_keys=()", SOUND), ("prompt_from_task=True", FAULTY)]
)
def test_a_configuration_that_is_replaced_under_its_name(tmp_path, change, statuses):
    replaced = f"    data_config = dataclasses.replace(data_config, {change})\n"
    edits = [
        [LABEL, CALLED, BY_NAME],
        [LABEL, OPENED, replaced + OPENED],
        [LABEL, "import jax\n", "import dataclasses\nimport jax\n"],
    ]
    assert judged(tmp_path, "14", edits).status in statuses


# --- classes that are elsewhere --------------------------------------------------------------------------------------

LAZY = """

def __getattr__(name):
    if name == "ValueModelWeightLoader":
        from openpi.training import weights_of_values

        return weights_of_values.ValueModelWeightLoader
    raise AttributeError(name)
"""
FROM = "from openpi.training.weights_of_values import ValueModelWeightLoader\n"
PATH = '"/public/home/somebody/siglip.npz"'


def move_loader(root, path, package):
    """The class goes to a module of its own; its old one is lazy, or a package that imports it."""
    text = (root / WEIGHTS).read_text()
    head, _, rest = text.partition("class ValueModelWeightLoader")
    body, _, tail = rest.partition("\n\n@dataclasses")
    moved = f"import os\n\n\nclass ValueModelWeightLoader{body}\n".replace(PATH, path)
    (root / WEIGHTS).with_name("weights_of_values.py").write_text(moved)
    (root / WEIGHTS).write_text(f"{head}@dataclasses{tail}{'' if package else LAZY}")
    if package:
        folder = (root / WEIGHTS).with_suffix("")
        folder.mkdir()
        (root / WEIGHTS).rename(folder / "_others.py")
        (folder / "__init__.py").write_text(
            f"from openpi.training.weight_loaders._others import NoOpWeightLoader\n{FROM}"
        )


@pytest.mark.parametrize("package", [False, True], ids=["by __getattr__", "by a package"])
@pytest.mark.parametrize(("path", "status"), [(PATH, "needed"), (f'os.environ.get("S", {PATH})', "fixed differently")])
def test_a_class_that_comes_from_another_module(tmp_path, path, status, package):
    root = write_later_upstream(tmp_path / "fork")
    move_loader(root, path, package)
    assert step_of(root, "1").status == "fixed differently"
    if status != "needed":
        root.joinpath("src/openpi/training/weights_of_values.py").write_text(
            root.joinpath("src/openpi/training/weights_of_values.py")
            .read_text()
            .replace('"/public/home/somebody/gemma"', "''")
        )
    step = step_of(root, "21")
    assert step.status == status
    assert set(step.changes) == ({"src/openpi/training/weights_of_values.py"} if status == "needed" else set())


def test_a_module_without_the_class_has_no_path(tmp_path):
    root = write_later_upstream(tmp_path / "fork")
    write_edits(root, [[WEIGHTS, "class ValueModelWeightLoader", "class OtherLoader"]])
    assert step_of(root, "21").status == "not applicable"


@pytest.mark.parametrize(("value", "statuses"), [("value", FAULTY), ("pi0", SOUND)])
def test_a_member_is_asked_for_by_its_value(tmp_path, value, statuses):
    assert judged(tmp_path, "L1", [[MODEL, "ModelType.VALUE", f'ModelType("{value}")']]).status in statuses


COMPAT = "import openpi.shared.hf_datasets_compat\n"
GUARDED = f"try:\n    {COMPAT}except ImportError:\n    pass\n"


@pytest.mark.parametrize(("line", "statuses"), [(COMPAT, FAULTY), (GUARDED, SOUND)])
def test_an_import_that_another_module_makes(tmp_path, line, statuses):
    edits = [
        [LOADER, COMPAT, "import openpi.training.config\n"],
        [CONFIG, "import dataclasses\n", f"import dataclasses\n\n{line}"],
    ]
    assert judged(tmp_path, "20", edits, later=True).status in statuses


# --- what a frame goes through ---------------------------------------------------------------------------------------

INPUTS = "src/openpi/policies/value_policy.py"
TOKENIZE = 'self.tokenizer.tokenize(data.pop("prompt"), None, None, adv_ind_dropout=self.adv_ind_dropout)'


@pytest.mark.parametrize(("extra", "statuses"), [("()", SOUND), ("(None,)", FAULTY)])
def test_arguments_that_are_unpacked(tmp_path, extra, statuses):
    lines = f'extra = {extra}\n        tokens = self.tokenizer.tokenize(data.pop("prompt"), None, *extra)'
    edits = [["src/openpi/transforms.py", f"tokens = {TOKENIZE}", lines]]
    assert judged(tmp_path, "13c", edits).status in statuses


KEYS = [
    [
        INPUTS,
        "class ValueInputs:\n",
        "class ValueInputs:\n    def __init__(self, keys=()):\n        self.keys = keys\n\n",
    ],
    [INPUTS, "in (*base_candidates,", "in (*self.keys, *base_candidates,"],
]
GIVEN = "value_policy.ValueInputs()"
RENAMES = """
def rename(frame):
    return {{{{"observation.images.{}": "image"}}.get(key, key): value for key, value in frame.items()}}


def build_value_data_config("""
CAMERAS = {
    "given by the script": (
        [*KEYS, [TRAIN, GIVEN, 'value_policy.ValueInputs(keys=("observation.images.head_camera",))']],
        SOUND,
    ),
    "others given": ([*KEYS, [TRAIN, GIVEN, 'value_policy.ValueInputs(keys=("observation.images.top",))']], FAULTY),
    "renamed first": (
        [[TRAIN, "\ndef build_value_data_config(", RENAMES.format("head_camera")], [TRAIN, GIVEN, f"rename, {GIVEN}"]],
        SOUND,
    ),
    "another one renamed": (
        [[TRAIN, "\ndef build_value_data_config(", RENAMES.format("top")], [TRAIN, GIVEN, f"rename, {GIVEN}"]],
        FAULTY,
    ),
}


@pytest.mark.parametrize(("edits", "statuses"), CAMERAS.values(), ids=CAMERAS)
def test_cameras_that_the_script_knows(tmp_path, edits, statuses):
    assert judged(tmp_path, "16", edits).status in statuses


# --- the step --------------------------------------------------------------------------------------------------------

STATE = [
    [TRAIN, "@dataclasses.dataclass\nclass TrainState:", "class TrainState(flax.struct.PyTreeNode):"],
    [TRAIN, "    model_def: tuple\n", "    model_def: tuple = flax.struct.field(pytree_node=False)\n"],
    [TRAIN, "import jax\n", "import flax.struct\nimport jax\nimport tqdm\n"],
]
BAR = "    for step in tqdm.tqdm(range(start_step, 3){}):\n        print(step)\n"


@pytest.mark.parametrize(("initial", "statuses"), [("", SOUND), (", initial=start_step", FAULTY)])
@pytest.mark.parametrize("name", ["start_step", "first"])
def test_a_bar_that_is_not_told_where_it_starts(tmp_path, name, initial, statuses):
    edits = [*STATE, [TRAIN, "    datetime.timedelta(seconds=start_step)\n", BAR.format(initial)]]
    step = judged(tmp_path, "13b", [*edits, [TRAIN, "start_step", name]])
    assert step.status in statuses, step


# --- what is compiled ------------------------------------------------------------------------------------------------

_BODY = "        logits = model(observation, train=False)\n        probs = jax.nn.softmax(logits, axis=-1)\n"
_SUM = "        return jnp.sum(probs * supports[None], axis=-1)\n"
FUNCTION = f"    @jax.jit\n    def infer_fn(observation):\n{_BODY}{_SUM}"
SPLIT = (
    "    definition, weights = nnx.split(model)\n"
    "    step = jax.jit(lambda w, obs: jnp.sum(jax.nn.softmax(nnx.merge(definition, w)(obs, train=False))))\n"
)
MADE = f"def make_infer(model, supports):\n{FUNCTION}\n    return infer_fn\n\n\ndef _compute_values"
BATCH = "        batch = jax.tree.map(lambda leaf: leaf[start : start + batch_size], dataset)\n"
FILLED = (
    f"{BATCH}        lacking = batch_size - len(batch.state)\n"
    "        batch = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf[:1].repeat(lacking, 0)]), batch)\n"
)
COMPILED = {
    "a lambda": [[LABEL, FUNCTION, SPLIT], [LABEL, "infer_fn(batch)", "step(weights, batch)"]],
    "a function that another one makes": [
        [LABEL, FUNCTION, "    infer_fn = make_infer(model, supports)\n"],
        [LABEL, "def _compute_values", MADE],
    ],
}


@pytest.mark.parametrize("edits", COMPILED.values(), ids=COMPILED)
@pytest.mark.parametrize(("batch", "statuses"), [(BATCH, FAULTY), (FILLED, SOUND)])
def test_the_last_batch_of_what_is_compiled(tmp_path, edits, batch, statuses):
    assert judged(tmp_path, "L4", [*edits, [LABEL, BATCH, batch]]).status in statuses


FORWARD = "    def forward(net, observation):\n        return jax.nn.softmax(net(observation, train=False))\n\n"
ROLES = [("partial(forward, model)", "", FAULTY), ("partial(forward, observation=dataset)", "model", SOUND)]


@pytest.mark.parametrize(("made", "given", "statuses"), ROLES)
def test_what_is_bound_before_it_is_compiled_is_a_constant(tmp_path, made, given, statuses):
    edits = [
        [LABEL, FUNCTION, f"{FORWARD}    infer_fn = jax.jit(functools.{made})\n"],
        [LABEL, "import jax\n", "import functools\nimport jax\n"],
        [LABEL, "infer_fn(batch)", f"infer_fn({given or 'batch'})"],
    ]
    assert judged(tmp_path, "L3", edits).status in statuses


# --- patches that others come before ---------------------------------------------------------------------------------

MOVED = "from openpi.models.state import TrainState\n"
OF_STATE = "@dataclasses.dataclass\nclass TrainState:\n    step: int\n    model_def: tuple\n    params: dict\n"
TOKENIZER = "class GemmaValueTokenizer:\n    def tokenize(self, prompt: str, state=None):\n        return [1]\n"
SHARED = "from openpi.models.tokens import GemmaValueTokenizer\n"


def test_a_patch_behind_one_without_hold_is_not_said_to_be_out_of_place(tmp_path):
    edits = [
        ["src/openpi/models/state.py", "", f"import dataclasses\n\n\n{OF_STATE}"],
        [TRAIN, f"{OF_STATE}\n\n", ""],
        [TRAIN, "import openpi.training.config as _config\n", f"{MOVED}import openpi.training.config as _config\n"],
    ]
    step = judged(tmp_path, "13b", edits)
    assert step.status == "cannot tell"
    assert step.reason.startswith("look again once 12 is in; now ")


def test_what_another_patch_mends_is_said(tmp_path):
    root = write_mini_upstream(tmp_path / "fork")
    write_edits(root, [["src/openpi/models/tokens.py", "", TOKENIZER]])
    for script in (TRAIN, LABEL):
        write_edits(root, [[script, "class GemmaValueTokenizer:", f"{SHARED}\n\nclass OtherTokenizer:"]])
    steps = {step.patch.id: step for step in make_plan(select(PATCHES, "13c,15"), SourceTree(root))}
    assert steps["13c"].status == "needed"
    assert steps["15"].reason.startswith("once 13c is in: ")
    assert steps["15"].changes == {}


# --- trees are whole afterwards --------------------------------------------------------------------------------------


def test_a_fault_that_only_running_sees_is_mended(tmp_path):
    root = write_mini_upstream(tmp_path / "fork")
    write_edits(root, FOLDERS["the loader reads it once, and opens something else"][0])
    plan = make_plan(select(PATCHES, "8"), SourceTree(root))
    refuse_conflicts(plan)
    for step in (step for step in plan if step.status == "needed"):
        write_step(root, step)
    assert step_of(root, "8").status in SOUND
