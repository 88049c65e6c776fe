"""Prints which packages of this interpreter differ from a constraints file, one a line: `name old -> new`."""

import argparse
from pathlib import Path

from pistar_vf.doctor.versions import changes_from, installed_versions, read_pins


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pins", type=Path, help="a file of name==version lines, such as constraints/newest.txt")
    for change in changes_from(read_pins(parser.parse_args().pins), installed_versions()):
        print(change)


if __name__ == "__main__":
    main()
