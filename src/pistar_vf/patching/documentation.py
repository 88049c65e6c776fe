"""docs/patches.md, from the patch files."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pistar_vf.patching.patch_file import Patch

_HEAD = """# Repairing the upstream fork

The value-model pipeline of the openpi fork (`scripts/train_value.py`, `scripts/label_advantage_from_vlm.py`) does not
start from a fresh clone. These patches repair it; [the upstream page](upstream.md) has the whole way to Stages 4 and 5.

```sh
pip install 'pistar-vf[patches]'
pistar-vf patch path/to/checkout            # which patches are needed; exit code 1 if any is
pistar-vf patch path/to/checkout --diff     # what would change
pistar-vf patch path/to/checkout --apply    # --commit: one git commit for each patch; --only 3,13a: only these
pistar-vf patch path/to/checkout --revert   # everything back, byte for byte
```

A patch holds on to names in the code (a function, a class, a keyword of a call), never to lines, so it fits other
versions and forks. One that finds no hold says what is missing and what to do by hand, and then nothing is written.
Applying twice changes nothing. A tree with changes that are not committed is refused without `--allow_dirty`.
`--revert` keeps later edits of yours where they do not overlap, and refuses where they do. What was there before lies
in `.pistar_vf_patches/` in the checkout, which git ignores.

| status | meaning |
|---|---|
| needed | the fault is there, and the patch cures it |
| applied | the fault is gone, and the code is as the patch leaves it |
| fixed differently | the fault is gone, otherwise than by the patch |
| not applicable | the checkout has nothing that the patch is about |
| conflict | the fault is there, but the patch finds no hold |

Exit codes: 0 nothing is needed, or success; 1 patches are needed (without a flag, or with `--check`); 2 a conflict or
another error.
"""

_FOOT = "<!-- Made from patches/ by scripts/write_patch_docs.py; edit those. -->\n"

_SHORT = {"needed": "needed", "fixed differently": "fixed", "not applicable": "–", "applied": "as here"}


def render(patches: Sequence[Patch], observed: Mapping[str, Mapping[str, str]]) -> str:
    """The page.

    Args:
        patches: all of them.
        observed: title of a tree to {id of a patch: status}.
    """
    parts = [_HEAD, _errors(patches), _order(patches), _observed(patches, observed)]
    return "\n".join([*parts, "## The patches\n", *map(_section, patches), _FOOT])


def read_observed(path: Path) -> dict[str, dict[str, str]]:
    """The statuses that were found in published trees, see `render`."""
    with path.open("rb") as file:
        return tomllib.load(file)


def _errors(patches: Sequence[Patch]) -> str:
    rows = [f"| `{_cell(symptom)}` | {_link(patch)} |" for patch in patches for symptom in patch.symptom]
    return "\n".join(["## Which error, which patch\n", "| error | patch |", "|---|---|", *rows, ""])


def _order(patches: Sequence[Patch]) -> str:
    biting = sorted((patch for patch in patches if patch.bites), key=lambda patch: patch.bites)
    listed = ", ".join(map(_link, biting))
    return (
        f"## The order in which training meets them\n\n{listed}. Whoever repairs by hand goes in this order: each "
        "error shows only when those before it are gone.\n"
    )


def _observed(patches: Sequence[Patch], observed: Mapping[str, Mapping[str, str]]) -> str:
    head = ["| patch |" + "".join(f" {title} |" for title in observed), "|---|" + "---|" * len(observed)]
    rows = [
        f"| {_link(patch)} |" + "".join(f" {_SHORT[found[patch.id]]} |" for found in observed.values())
        for patch in patches
    ]
    text = (
        "What `--check` says of published trees. “fixed”: fixed differently; “as here”: fixed as the patch does it.\n"
    )
    return "\n".join(["## Published trees\n", text, *head, *rows, ""])


def _section(patch: Patch) -> str:
    errors = "\n".join(f"    {symptom}" for symptom in patch.symptom)
    after = f"\nComes after {', '.join(patch.after)}.\n" if patch.after else ""
    return (
        f"### Patch {patch.id}: {patch.title}\n\n{errors}\n\n{patch.cause}\n{after}\n"
        f"Files: {', '.join(f'`{file}`' for file in patch.files)}\n\nBy hand: {patch.by_hand}\n"
    )


def _link(patch: Patch) -> str:
    heading = f"patch {patch.id}: {patch.title}".lower()
    anchor = "".join(letter for letter in heading if letter.isalnum() or letter in " _-").replace(" ", "-")
    return f"[{patch.id}](#{anchor})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
