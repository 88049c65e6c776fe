"""What to type to install what is missing: this package is on no index, so its extras are named by their packages."""

import re
from importlib import metadata

_EXTRA = re.compile(r"^(?P<requirement>[^;]+);.*extra\s*==\s*['\"](?P<extra>[\w-]+)['\"]")


def install_command(extra: str) -> str:
    """The command that installs the packages of an extra, wherever this package came from."""
    try:
        requirements = metadata.requires("pistar-vf") or []
    except metadata.PackageNotFoundError:
        requirements = []
    found = [m["requirement"].strip() for m in map(_EXTRA.match, requirements) if m is not None and m["extra"] == extra]
    if not found:
        return f"pip install -e '.[{extra}]' in the checkout"
    return "pip install " + " ".join(f"'{requirement}'" for requirement in found)
