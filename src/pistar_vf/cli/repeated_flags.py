"""Command lines on which one flag may come several times, or be left out before the first words."""

from collections.abc import Sequence


def gathered(argv: Sequence[str], flag: str) -> list[str]:
    """`--flag A --flag B` as `--flag A B`: of a repeated flag only the last would count."""
    words, values, inside = [], [], False
    for word in argv:
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            inside = name.replace("-", "_") == flag.replace("-", "_")
            if inside and equals:
                values.append(value)
        if inside and not word.startswith("--"):
            values.append(word)
        elif not inside:
            words.append(word)
    return [*words, flag, *values] if values else list(argv)


def with_leading(argv: Sequence[str], flag: str) -> list[str]:
    """`A B --other` as `--flag A B --other`."""
    return [flag, *argv] if argv and not argv[0].startswith("-") else list(argv)
