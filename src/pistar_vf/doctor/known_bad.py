"""Combinations of versions that install without a word and then fail; each was measured.

A row names the packages, what happens, and one command that ends it. Adding one takes a row and nothing else.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Literal

from packaging.specifiers import SpecifierSet

from pistar_vf.doctor.findings import Finding


@dataclasses.dataclass(frozen=True)
class KnownBad:
    """One combination.

    Attributes:
        versions: package to the versions that are part of it (`<0.6`); all must hold.
        reason: what goes wrong, with the error as Python prints it.
        fix: one line to type.
        severity: "warning" where the library itself does not need what fails.
        variable: an environment variable that must be set besides.
        shown_by: the check of the examination that fails where this goes wrong; where it went well (on one device, for
            what takes several; with a version in between that works), nothing is said. "" for none.
    """

    versions: Mapping[str, str]
    reason: str
    fix: str
    severity: Literal["failed", "warning"] = "failed"
    variable: str | None = None
    shown_by: str = ""

    def applies(self, installed: Mapping[str, str], environment: Mapping[str, str]) -> bool:
        """Whether the combination is the one that is installed."""
        if self.variable is not None and not environment.get(self.variable):
            return False
        return all(_holds(specifier, installed.get(name)) for name, specifier in self.versions.items())


def _holds(specifier: str, version: str | None) -> bool:
    return version is not None and SpecifierSet(specifier).contains(version, prereleases=True)


KNOWN_BAD = (
    KnownBad(
        {"jax": "<0.6", "orbax-checkpoint": ">0.11.23"},
        "no checkpoint can be saved: AttributeError: module 'jax.monitoring' has no attribute 'record_scalar'",
        "pip install 'orbax-checkpoint==0.11.23'",
        shown_by="checkpoint",
    ),
    KnownBad(
        {"jax": ">=0.6,<0.6.2", "orbax-checkpoint": ">0.11.25"},
        "orbax cannot be imported: AttributeError: module 'jax.experimental.layout' has no attribute 'Format'",
        "pip install 'orbax-checkpoint==0.11.25'",
        shown_by="checkpoint",
    ),
    KnownBad(
        {"jax": ">=0.6.2,<0.7.1", "orbax-checkpoint": ">0.11.28"},
        "with several devices, no checkpoint can be saved: TypeError: 'NoneType' object does not support the context "
        "manager protocol",
        "pip install 'orbax-checkpoint==0.11.28'",
        shown_by="checkpoint",
    ),
    KnownBad(
        {"flax": "==0.12.4"},
        "this release holds optax at 0.2.6 and numpy below 2.4; flax 0.12.5 still holds optax",
        "pip install 'flax>=0.12.6'",
        severity="warning",
    ),
    KnownBad(
        {"pyarrow": ">=26", "numpy": "<2"},
        "no table can be read: ImportError: pyarrow requires NumPy 2.0 or newer",
        "pip install 'pyarrow<26'",
        shown_by="tables",
    ),
    KnownBad(
        {"av": "<15"},
        "videos cannot be joined or cut: RuntimeError: Cannot access 'time_base' as a decoder",
        "pip install 'av>=15'",
    ),
    KnownBad(
        {"jax": "<0.6"},
        "this JAX runs programs from its persistent cache wrongly, donated buffers are overwritten: resumed runs are "
        "garbage or abort",
        "unset JAX_COMPILATION_CACHE_DIR",
        variable="JAX_COMPILATION_CACHE_DIR",
    ),
    KnownBad(
        {"sentencepiece": ">=0.2.3", "protobuf": "<7.36.1"},
        "sentencepiece_model_pb2, which other packages import, fails: VersionError: Detected incompatible Protobuf "
        "Gencode/Runtime versions; tokenizing works",
        "pip install 'sentencepiece<0.2.3'",
        severity="warning",
    ),
)


def known_bad_findings(
    installed: Mapping[str, str], environment: Mapping[str, str], went_well: Collection[str] = ()
) -> list[Finding]:
    """The rows that apply, those apart that a check has just disproved.

    Args:
        installed: canonical package name to version.
        environment: environment variables.
        went_well: names of checks that were tried and passed.
    """
    return [
        Finding(_name(row, installed), row.severity, row.reason, row.fix)
        for row in KNOWN_BAD
        if row.applies(installed, environment) and row.shown_by not in went_well
    ]


def _name(row: KnownBad, installed: Mapping[str, str]) -> str:
    packages = [f"{name} {installed[name]}" for name in row.versions]
    return " with ".join([*packages, *([] if row.variable is None else [row.variable])])
