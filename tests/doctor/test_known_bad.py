"""Known-bad combinations. Oracle: versions that were seen to fail, and the two sets the tests pass on."""

from pathlib import Path

import pytest

from pistar_vf.doctor.known_bad import KNOWN_BAD, known_bad_findings
from pistar_vf.doctor.versions import read_pins

CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints"
CACHE = {"JAX_COMPILATION_CACHE_DIR": "some/folder"}
COMPAT = "compat.import_gemma()"
OLD_TYPEGUARD = {"tensorflow": "2.20", "jax": "0.10.1", "typeguard": "4.4.4"}

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
    (
        {"gemma": "3.4.0", "kauldron": "1.3.0", **OLD_TYPEGUARD},
        {"gemma": "3.2.1", "kauldron": "1.3.0", **OLD_TYPEGUARD},
        "Gemma3_270M exists in gemma 3.2.1 and 3.3.0 only",
        "pip install --no-deps 'gemma==3.3.0'",
    ),
    (
        {"gemma": "3.3.0", **OLD_TYPEGUARD},
        {"gemma": "3.3.0", "kauldron": "1.3.0", **OLD_TYPEGUARD},
        "No module named 'kauldron'",
        "pip install --no-deps 'kauldron==1.4.2'",
    ),
    (
        {"gemma": "3.3.0", "kauldron": "1.3.0"},
        {"gemma": "3.3.0", "kauldron": "1.3.0", "tensorflow": "2.20"},
        "No module named 'tensorflow'",
        COMPAT,
    ),
    (
        {"gemma": "3.3.0", "kauldron": "1.4.2", "tensorflow": "2.20"},
        {"gemma": "3.3.0", "kauldron": "1.3.0", "tensorflow": "2.20"},
        "has no attribute 'AbstractPartialLoader'",
        COMPAT,
    ),
    (
        {"kauldron": "1.4.1", "jax": "0.10.2"},
        {"kauldron": "1.4.2", "jax": "0.10.2"},
        "has no attribute '_check_prng_key'",
        COMPAT,
    ),
    (
        {"kauldron": "1.3.0", "typeguard": "4.5.0"},
        {"kauldron": "1.4.2", "typeguard": "4.5.0"},
        "unexpected keyword argument 'memo'",
        COMPAT,
    ),
    (
        {"gemma": "3.3.0", "kauldron": "1.3.0", "tensorflow": "2.20", "orbax-checkpoint": "0.11.13"},
        {"gemma": "3.3.0", "kauldron": "1.3.0", "tensorflow": "2.20", "orbax-checkpoint": "0.12.8"},
        "has no attribute 'item_metadata'",
        COMPAT,
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


def test_the_parity_tests_own_set_only_has_what_compat_heals():
    for name in ("newest", "openpi"):
        installed = read_pins(CONSTRAINTS / "oracles.txt") | read_pins(CONSTRAINTS / f"{name}.txt")
        findings = known_bad_findings(installed, {})
        assert {"warning"} == {finding.state for finding in findings}
        assert all(COMPAT in finding.fix for finding in findings)


@pytest.mark.parametrize("environment", [{}, {"JAX_COMPILATION_CACHE_DIR": ""}])
def test_the_cache_of_an_old_jax_matters_only_where_it_is_used(environment):
    assert known_bad_findings({"jax": "0.5.3"}, environment) == []


def test_a_finding_names_what_is_installed_and_what_is_not():
    (cache,) = known_bad_findings({"jax": "0.5.3"}, CACHE)
    assert (cache.name, cache.state) == ("jax 0.5.3 with JAX_COMPILATION_CACHE_DIR", "failed")
    (absent,) = known_bad_findings({"gemma": "3.3.0", **OLD_TYPEGUARD}, {})
    assert (absent.name, absent.state) == ("gemma 3.3.0 with no kauldron", "warning")
