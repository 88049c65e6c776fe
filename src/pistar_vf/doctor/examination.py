"""Everything the doctor looks at, in order; whatever a check raises becomes a line of the report."""

import dataclasses
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pistar_vf.doctor import devices, jax_checks, media_checks
from pistar_vf.doctor.findings import Concern, Finding, first_line
from pistar_vf.doctor.known_bad import known_bad_findings
from pistar_vf.doctor.versions import OPTIONAL, REQUIRED, Change, compare_tested_sets, installed_versions


@dataclasses.dataclass(frozen=True)
class LiveCheck:
    """Something that is tried.

    Attributes:
        name: as in the report.
        run: does it and says what came of it; may raise anything.
        fix: what to do when it raises: one line, or a package to install again.
        needs_devices: skipped where JAX has no device, where it could only repeat that.
    """

    name: str
    run: Callable[[], str]
    fix: str
    needs_devices: bool = False


LIVE_CHECKS = (
    LiveCheck("accelerator", jax_checks.check_accelerator, "update the driver, or export JAX_PLATFORMS=cpu", True),
    LiveCheck("all devices", jax_checks.check_all_devices, "export CUDA_VISIBLE_DEVICES=0 to use one", True),
    LiveCheck("checkpoint", jax_checks.check_checkpoint, "orbax-checkpoint", True),
    LiveCheck("video", media_checks.check_video, "av"),
    LiveCheck("AV1 video", media_checks.check_av1, "av"),
    LiveCheck("tables", media_checks.check_tables, "pyarrow"),
    LiveCheck("tokenizer", media_checks.check_tokenizer, "sentencepiece"),
    LiveCheck("frame cache", media_checks.check_frame_cache, "export PISTAR_VF_CACHE=<another folder>"),
    LiveCheck("LeRobot cache", media_checks.check_lerobot_cache, "export HF_LEROBOT_HOME=<another folder>"),
)


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """The doctor's report.

    Attributes:
        python: version of Python.
        platform: operating system and processor.
        versions: package to version; None where one that is needed is not installed.
        tested_sets: name of each tested set of versions to how this installation differs from it; empty outside a
            checkout.
        findings: known-bad combinations first, then the devices, then what was tried.
    """

    python: str
    platform: str
    versions: dict[str, str | None]
    tested_sets: dict[str, list[Change]]
    findings: list[Finding]

    def of_state(self, state: str) -> list[Finding]:
        """The findings of one state."""
        return [finding for finding in self.findings if finding.state == state]

    @property
    def verdict(self) -> str:
        """One line: what to do first, or that there is nothing to do."""
        failed, warnings = self.of_state("failed"), len(self.of_state("warning"))
        if not failed:
            return "everything works" + (f" ({warnings} warning{'s' * (warnings != 1)})" if warnings else "")
        return f"{len(failed)} problem{'s' * (len(failed) != 1)}: first fix {failed[0].name}: {failed[0].fix}"

    def to_json(self) -> dict[str, Any]:
        """All of it, for scripts."""
        healthy = not self.of_state("failed")
        return {"healthy": healthy, "verdict": self.verdict, **dataclasses.asdict(self)}


def examine() -> Diagnosis:
    """Looks at everything; takes some seconds, changes nothing and never raises because of what it finds."""
    installed = installed_versions()
    needed = {name: installed.get(name) for name in REQUIRED}
    tried = list(_tried(installed))
    went_well = {finding.name for finding in tried if finding.state == "ok"}
    return Diagnosis(
        python=platform.python_version(),
        platform=platform.platform(),
        versions=needed | {name: installed[name] for name in OPTIONAL if name in installed},
        tested_sets=compare_tested_sets(installed),
        findings=[*known_bad_findings(installed, os.environ, went_well), *tried],
    )


def _tried(installed: Mapping[str, str]) -> Iterator[Finding]:
    found = device_finding(installed)
    yield found
    for check in LIVE_CHECKS:
        if check.needs_devices and found.state == "failed":
            yield Finding(check.name, "skipped", "JAX has no device")
        else:
            yield run_check(check, installed)


def device_finding(installed: Mapping[str, str]) -> Finding:
    """What JAX computes on; a warning where a GPU is left unused."""
    try:
        found = devices.find_devices()
        fix = devices.unused_gpu_advice(found, installed)
    except Exception as error:  # JAX raises what its plugins raise
        return Finding("devices", "failed", *devices.why_no_devices(error, installed))
    if fix is not None:
        return Finding("devices", "warning", f"{found}, although there is an NVIDIA GPU", fix)
    return Finding("devices", "ok", str(found))


def run_check(check: LiveCheck, installed: Mapping[str, str]) -> Finding:
    """Tries one thing; an exception is a finding."""
    try:
        return Finding(check.name, "ok", check.run())
    except Concern as concern:
        return Finding(check.name, concern.state, concern.detail, concern.fix)
    except Exception as error:
        return Finding(check.name, "failed", first_line(error), _reinstall(check.fix, installed))


def _reinstall(fix: str, installed: Mapping[str, str]) -> str:
    """The same version without its dependencies: a newer one, or newer ones of those, could break what works."""
    if fix in installed:
        return f"pip install --force-reinstall --no-deps '{fix}=={installed[fix]}'"
    return f"pip install {fix}" if fix in REQUIRED else fix
