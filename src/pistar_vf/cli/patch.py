"""`pistar-vf patch`: repairs a checkout of the upstream openpi fork."""

import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from pistar_vf.cli.parsing import parse
from pistar_vf.errors import ConfigError
from pistar_vf.installation import install_command

if TYPE_CHECKING:
    from pistar_vf.patching.plan import Step

EXIT_NEEDED, EXIT_UNCLEAR, EXIT_BROKEN_TREE = 1, 3, 4


@dataclasses.dataclass(frozen=True)
class PatchArgs:
    """Repair the value-model pipeline of the openpi fork (train_value.py, label_advantage_from_vlm.py).

    docs/patches.md lists the errors and the patch that cures each. Without a flag, shows which patches a checkout
    needs and exits with 1 if it needs any. The patches hold on to names in the code, not to lines, so that they fit
    other versions and forks too; one that finds no hold says what to do by hand, and then nothing is written.
    """

    target: tyro.conf.Positional[Path]
    """A checkout of the fork."""
    check: bool = False
    """Show which patches are needed (the default)."""
    diff: bool = False
    """Show what would change."""
    apply: bool = False
    """Apply the patches that are needed."""
    verify: bool = False
    """Run the fork's imports, two training steps and the labelling of a few frames, at tiny size, on a copy and in the
    fork's own Python, and say of each patch what was seen."""
    python: str = ""
    """With --verify: the fork's Python; by default that of .venv in the checkout."""
    revert: bool = False
    """Take back everything that --apply wrote, byte for byte."""
    only: str = ""
    """Only these patches, such as 3,13a."""
    commit: bool = False
    """With --apply: one git commit for each patch."""
    allow_dirty: bool = False
    """With --apply: also where tracked files have changes that are not committed."""


def run(args: PatchArgs) -> None:
    """Does what was asked for, and prints what became of each patch."""
    if args.check + args.diff + args.apply + args.verify + args.revert > 1:
        raise ConfigError("expected one of --check, --diff, --apply, --verify and --revert; run them one after another")
    if args.python and not args.verify:
        raise ConfigError("--python goes with --verify")
    if args.revert and args.only:
        raise ConfigError("--revert takes everything back; it does not go with --only")
    if args.commit and (not args.apply or args.allow_dirty):
        raise ConfigError("--commit goes with --apply, and needs a checkout without other changes (no --allow_dirty)")
    _require_libcst()
    from pistar_vf.faults.source_tree import TreeError

    try:
        _run(_checkout(args.target), args)
    except TreeError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(EXIT_BROKEN_TREE) from error


def _run(root: Path, args: PatchArgs) -> None:
    from pistar_vf.patching.writing import one_writer

    if args.revert or args.apply:
        with one_writer(root):
            _revert(root) if args.revert else _apply(root, args)
    elif args.verify:
        _verify(root, args.python)
    elif args.diff:
        _diff(_plan(root, args.only))
    else:
        _check(_plan(root, args.only))


def _require_libcst() -> None:
    try:
        import libcst  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"patching needs the package libcst; install it with: {install_command('patches')}"
        ) from error


def _checkout(target: Path) -> Path:
    if not (target / "src" / "openpi").is_dir():
        raise ConfigError(f"{target}: expected a checkout of the openpi fork, found no folder src/openpi in it")
    return target.resolve()


def _plan(root: Path, only: str) -> "list[Step]":
    from pistar_vf.faults.source_tree import SourceTree
    from pistar_vf.patching.journal import read_journal
    from pistar_vf.patching.patch_file import load_patches, select
    from pistar_vf.patching.plan import make_plan

    return make_plan(
        select(load_patches(), only), SourceTree(root), applied={entry.patch for entry in read_journal(root)}
    )


def _check(plan: "list[Step]") -> None:
    from pistar_vf.patching.plan import refuse_conflicts
    from pistar_vf.patching.report import lines, sorted_ids, unclear

    print("\n".join(lines(plan)))
    refuse_conflicts(plan)
    needed = sorted_ids([step for step in plan if step.status == "needed"])
    required = sorted_ids([step for step in plan if step.status == "needed" and not step.patch.optional])
    if needed:
        rest = [name for name in needed if name not in required]
        optional = f" ({', '.join(rest)} optional)" if rest else ""
        print(
            f"{len(needed)} patches are needed: {', '.join(needed)}{optional}; --apply applies them, --diff shows them"
        )
    if required:
        raise SystemExit(EXIT_NEEDED)
    _stop_where_unclear(unclear(plan))
    if not needed:
        print("no patch is needed")


def _stop_where_unclear(ids: list[str]) -> None:
    if ids:
        print(f"of {', '.join(ids)} nobody can tell from the code; look where it says, or run --verify")
        raise SystemExit(EXIT_UNCLEAR)


def _diff(plan: "list[Step]") -> None:
    from pistar_vf.patching.plan import refuse_conflicts, unified_diff

    refuse_conflicts(plan)
    print(unified_diff(plan), end="")


def _apply(root: Path, args: PatchArgs) -> None:
    from pistar_vf.patching.git import commit, require_commits
    from pistar_vf.patching.journal import write_step
    from pistar_vf.patching.plan import refuse_conflicts
    from pistar_vf.patching.report import lines, unclear
    from pistar_vf.patching.writing import refuse_unwritable

    plan = _plan(root, args.only)
    refuse_conflicts(plan)
    steps = [step for step in plan if step.status == "needed"]
    if steps and not args.allow_dirty:
        _refuse_dirty(root)
    if steps and args.commit:
        require_commits(root)
    refuse_unwritable(root, [file for step in steps for file in step.changes])
    for step in steps:
        write_step(root, step)
        if args.commit:
            commit(root, step.patch, sorted(step.changes))
        print(f"{step.patch.id:<4} {step.patch.title}: {', '.join(sorted(step.changes))}")
    left = [step for step in plan if step.status in ("conflict", "cannot tell")]
    if left:
        print("\n".join(["these are left as they are:", *lines(left)]))
    done = f"{len(steps)} patches applied; --revert takes them back" if steps else "nothing to apply"
    print(f"{root}: {done if steps or left else 'no patch is needed'}")
    _stop_where_unclear(unclear(plan))


def _refuse_dirty(root: Path) -> None:
    from pistar_vf.patching.git import modified_files
    from pistar_vf.patching.journal import patched_by_us

    modified = sorted((modified_files(root) or set()) - patched_by_us(root))
    if modified:
        shown = ", ".join(modified[:5]) + (", …" if len(modified) > 5 else "")
        raise ConfigError(
            f"{root}: expected a checkout without changes that are not committed, got {len(modified)} changed files "
            f"({shown}); commit or stash them, or pass --allow_dirty"
        )


def _verify(root: Path, given: str) -> None:
    from pistar_vf.patching.patch_file import load_patches
    from pistar_vf.patching.verification import fork_python, verify

    python = fork_python(root, given)
    if python is None:
        wanted = given or root / ".venv/bin/python"
        print(f"{root}: --verify did not look: expected the fork's Python at {wanted}, found none that can be run;")
        print("name it by --python")
        raise SystemExit(EXIT_UNCLEAR)
    from pistar_vf.testing.probe_dataset import write_probe_dataset

    with tempfile.TemporaryDirectory() as folder:
        data, tokenizer = write_probe_dataset(Path(folder) / "data")
        places = {"data": data, "tokenizer": tokenizer, "out": Path(folder) / "out"}
        sights, left = verify(root, python, load_patches(), places)
    print("\n".join(f"{sight.patch:<4} {sight.text}" for sight in sights))
    if left:
        print(f"no patch is for this error: {left}")
    if left or any(sight.seen for sight in sights):
        raise SystemExit(EXIT_UNCLEAR if left else EXIT_NEEDED)
    print("every stage ran")


def _revert(root: Path) -> None:
    from pistar_vf.patching.taking_back import revert

    taken = revert(root)
    if taken:
        print(f"{root}: {len(taken)} patches taken back: {', '.join(taken)}")
    else:
        print(f"{root}: the patches that were applied here are not in the files any more; nothing to take back")


def main(argv: Sequence[str]) -> None:
    """Parses the command line and runs the command."""
    run(parse(PatchArgs, argv, "pistar-vf patch"))
