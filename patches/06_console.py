"""Marks and colours of the messages on the terminal."""

import sys


def _coloured(code: str, text: str) -> str:
    return f"\033[{code}m{text}\033[0m" if sys.stderr.isatty() else text


def info(text: str) -> str:
    """Something to know."""
    return _coloured("36", f"ℹ {text}")


def ok(text: str) -> str:
    """Something that went well."""
    return _coloured("32", f"✓ {text}")


def warn(text: str) -> str:
    """Something to look at."""
    return _coloured("33", f"⚠ {text}")


def error(text: str) -> str:
    """Something that failed."""
    return _coloured("31", f"✗ {text}")


def bold(text: str) -> str:
    """Something that stands out."""
    return _coloured("1", text)
