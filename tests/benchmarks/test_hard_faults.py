"""A sample of benchmarks/reliability.py, and what it would say of commands that are wrong on purpose.

One process of its own runs it, as it forks: JAX must not have begun there.
"""

import json
import subprocess
import sys

import pytest
from support.places import ROOT, environment

SAMPLE = """
import json, os, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from hard_faults import cases, children, kills, mutations, surroundings, world

folder = Path(sys.argv[3])
world.import_everything()
own = world.World(folder)

def careless():
    for name in ("out/a.json", "out/b.json"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("{}")

def vandal():
    careless()
    Path("raw/meta/info.json").write_text("{")

class Careless(cases.NewResult):
    def action(self, world):
        return careless

class Vandal(cases.NewResult):
    def action(self, world):
        return vandal

def lost(case, count=6):
    try:
        return len(kills.kill_often(own, case, count, 0).losses)
    except cases.LostError:
        return "refused"

quick = {case.name: case for case in cases.quick_cases()}
label, merge = quick["label"], quick["convert-dataset to v3.0"]
found = {
    "careless": lost(Careless("careless", label.words, label.inputs, label.output)),
    "vandal": lost(Vandal("vandal", label.words, label.inputs, label.output)),
    "kills": {name: vars(kills.kill_often(own, quick[name], 3, 0)) for name in ("label", "frame cache")},
    "damages": {kind: vars(mutations.damage_often(own, kind, 8, 0)) for kind in ("parquet", "mp4")},
    "errors": vars(surroundings.raise_everywhere(own, label, 3, 0)),
    "full": vars(surroundings.fill_disk(own, label, 2, 0)),
    "forbidden": vars(surroundings.forbid(own, label, 1, 0)),
    "stalled": vars(surroundings.stall(own, label, 2, 0)),
    "vanished": vars(surroundings.lose_videos(own, merge, 4, 0)),
    "crash": children.run(lambda: 1 / 0).has_traceback,
    "hang": children.run(lambda: os.read(os.pipe()[0], 1), kill=children.Moment(seconds=0.2)).killed,
}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict:
    words = [str(ROOT / "benchmarks"), str(ROOT / "tests"), str(tmp_path_factory.mktemp("faults"))]
    ran = subprocess.run(
        [sys.executable, "-c", SAMPLE, *words], env=environment(JAX_PLATFORMS="cpu"), capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_what_is_wrong_on_purpose_is_found(found):
    assert found["careless"] != 0
    assert found["vandal"] != 0
    assert found["crash"]
    assert found["hang"]


def test_kills_lose_nothing(found):
    assert {name: own["losses"] for name, own in found["kills"].items()} == {"label": [], "frame cache": []}
    assert [own["kills"] for own in found["kills"].values()] == [3, 3]


@pytest.mark.parametrize("kind", ["parquet", "mp4"])
def test_damaged_files_end_in_success_or_in_one_error(found, kind):
    own = found["damages"][kind]
    assert (own["tried"], own["losses"], own["tracebacks"]) == (8, [], [])
    assert own["read"] + own["refused"] == 8
    assert own["refused"] or kind == "mp4"


@pytest.mark.parametrize("kind", ["errors", "full", "forbidden", "stalled", "vanished"])
def test_troubles_with_the_disk(found, kind):
    own = found[kind]
    assert (own["losses"], own["tracebacks"]) == ([], [])
    assert own["tried"] >= own["refused"] > 0
