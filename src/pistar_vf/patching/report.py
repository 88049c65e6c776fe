"""What `pistar-vf patch` says of a plan."""

from collections.abc import Sequence

from pistar_vf.patching.patch_file import number
from pistar_vf.patching.plan import Step


def lines(plan: Sequence[Step]) -> list[str]:
    """One line for each patch, by number: its status, and the error or what decided."""
    return [_line(step) for step in sorted(plan, key=lambda step: number(step.patch.id))]


def _line(step: Step) -> str:
    status = (
        f"{step.status}, optional" if step.patch.optional and step.status in ("needed", "conflict") else step.status
    )
    at = f"{step.place}: " if step.place else ""
    if step.status == "needed":
        return f"{step.patch.id:<4} {status:<18} {step.patch.symptom[0]}\n{'':<24}{_why(step, at)}"
    return f"{step.patch.id:<4} {status:<18} {_why(step, at)}"


def _why(step: Step, at: str) -> str:
    return step.reason if step.reason.startswith("once ") else f"{at}{step.reason}"


def sorted_ids(steps: Sequence[Step]) -> list[str]:
    """The ids of the patches of steps, by number."""
    return sorted((step.patch.id for step in steps), key=number)


def unclear(plan: Sequence[Step]) -> list[str]:
    """The patches of which the code does not tell whether they are needed; optional ones do not count."""
    return sorted_ids([step for step in plan if step.status == "cannot tell" and not step.patch.optional])
