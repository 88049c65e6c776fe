"""Known-bad combinations. Oracle: versions that were seen to fail, and the two sets the tests pass on."""

from pathlib import Path

import pytest

from pistar_vf.doctor.examination import LIVE_CHECKS
from pistar_vf.doctor.known_bad import KNOWN_BAD, known_bad_findings
from pistar_vf.doctor.versions import read_pins

CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints"
CACHE = {"JAX_COMPILATION_CACHE_DIR": "some/folder"}

# One case a row of the table, in its order: what fails, what does not, the reason, the fix.
CASES = [
    (
        {"jax": "0.5.3", "orbax-checkpoint": "0.11.24"},
        {"jax": "0.5.3", "orbax-checkpoint": "0.11.23"},
        "'jax.monitoring' has no attribute 'record_scalar'",
        "pip install 'orbax-checkpoint==0.11.23'",
    ),
    (
        {"jax": "0.6.1", "orbax-checkpoint": "0.11.28"},
        {"jax": "0.6.2", "orbax-checkpoint": "0.11.28"},
        "'jax.experimental.layout' has no attribute 'Format'",
        "pip install 'orbax-checkpoint==0.11.25'",
    ),
    (
        {"jax": "0.7.0", "orbax-checkpoint": "0.12.8"},
        {"jax": "0.7.1", "orbax-checkpoint": "0.12.8"},
        "'NoneType' object does not support the context manager protocol",
        "pip install 'orbax-checkpoint==0.11.28'",
    ),
    ({"flax": "0.12.4"}, {"flax": "0.12.6"}, "holds optax at 0.2.6", "pip install 'flax>=0.12.6'"),
    (
        {"pyarrow": "26.0.1", "numpy": "1.26.4"},
        {"pyarrow": "25.0.1", "numpy": "1.26.4"},
        "pyarrow requires NumPy 2.0 or newer",
        "pip install 'pyarrow<26'",
    ),
    ({"av": "14.2.0"}, {"av": "15.0.0"}, "Cannot access 'time_base' as a decoder", "pip install 'av>=15'"),
    ({"jax": "0.5.3"}, {"jax": "0.10.2"}, "resumed runs are garbage or abort", "unset JAX_COMPILATION_CACHE_DIR"),
    (
        {"sentencepiece": "0.2.3", "protobuf": "7.36.0"},
        {"sentencepiece": "0.2.3", "protobuf": "7.36.1"},
        "incompatible Protobuf Gencode/Runtime versions",
        "pip install 'sentencepiece<0.2.3'",
    ),
]


def test_every_row_has_a_case():
    assert len(CASES) == len(KNOWN_BAD)
    assert all(case[2] in row.reason and case[3] in row.fix for case, row in zip(CASES, KNOWN_BAD))


@pytest.mark.parametrize(("bad", "good", "reason", "fix"), CASES, ids=[case[2] for case in CASES])
def test_the_row_applies_to_what_fails_and_to_nothing_beside_it(bad, good, reason, fix):
    environment = CACHE if "JAX_COMPILATION_CACHE_DIR" in fix else {}
    (finding,) = known_bad_findings(bad, environment)
    assert reason in finding.detail
    assert fix in finding.fix
    assert known_bad_findings(good, environment) == []


@pytest.mark.parametrize("name", ["newest", "openpi"])
def test_no_row_applies_to_the_tested_sets(name):
    assert known_bad_findings(read_pins(CONSTRAINTS / f"{name}.txt"), {}) == []


@pytest.mark.parametrize("environment", [{}, {"JAX_COMPILATION_CACHE_DIR": ""}])
def test_the_cache_of_an_old_jax_matters_only_where_it_is_used(environment):
    assert known_bad_findings({"jax": "0.5.3"}, environment) == []


@pytest.mark.parametrize(
    ("versions", "check"),
    [
        ({"jax": "0.6.0", "orbax-checkpoint": "0.12.8"}, "checkpoint"),  # orbax 0.12.8 is imported there
        ({"jax": "0.7.0", "orbax-checkpoint": "0.12.8"}, "checkpoint"),  # fails with several devices, here is one
        ({"pyarrow": "26.0.1", "numpy": "1.26.4"}, "tables"),
    ],
)
def test_what_was_just_tried_and_went_well_is_not_said_to_fail(versions, check):
    assert len(known_bad_findings(versions, {}, {"video"})) == 1
    assert known_bad_findings(versions, {}, {check}) == []


def test_the_checks_that_disprove_a_row_exist():
    assert {row.shown_by for row in KNOWN_BAD} - {""} <= {check.name for check in LIVE_CHECKS}


def test_a_finding_names_what_is_installed_and_what_is_not():
    (cache,) = known_bad_findings({"jax": "0.5.3"}, CACHE)
    assert (cache.name, cache.state) == ("jax 0.5.3 with JAX_COMPILATION_CACHE_DIR", "failed")
    (old,) = known_bad_findings({"pyarrow": "26.0.1", "numpy": "1.26.4"}, {})
    assert (old.name, old.state) == ("pyarrow 26.0.1 with numpy 1.26.4", "failed")
