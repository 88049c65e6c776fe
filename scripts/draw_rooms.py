"""Draws the rooms of the library, floor by floor, into docs/images/rooms.svg, from the table in docs/development.md.

python scripts/draw_rooms.py
"""

import argparse
import ast
import re
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "rooms.svg"
_WIDTH, _ROW, _GAP, _LETTER = 1080, 46, 8, 8.2
_STYLE = """\
text { font: 14px ui-monospace, Menlo, Consolas, monospace; fill: #1f2933 }
.floor { fill: #6b7280 }
rect { fill: #e8f0fe; stroke: #5b7db1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e5e7eb }
  .floor { fill: #9ca3af }
  rect { fill: #1e2b45; stroke: #7f9fd0 }
}"""


def read_floors() -> dict[int, list[str]]:
    """Floor to rooms, as the documentation lists them."""
    text = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
    floors: dict[int, list[str]] = {}
    for floor, rooms in re.findall(r"^\| (\d+) \| ((?:`\w+`(?:, )?)+) \|$", text, re.MULTILINE):
        floors.setdefault(int(floor), []).extend(re.findall(r"`(\w+)`", rooms))
    return floors


def subject(room: str) -> str:
    """The first sentence of a room's docstring."""
    folder = ROOT / "src" / "pistar_vf" / room
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]


def draw() -> str:
    """The picture as SVG: the top floor above; the subject of a room shows under the pointer."""
    floors = read_floors()
    lines, y = [], _GAP
    for floor in sorted(floors, reverse=True):
        lines.append(f'<text class="floor" x="8" y="{y + 28}">{floor:>2}</text>')
        x = 44.0
        for room in floors[floor]:
            width = len(room) * _LETTER + 20
            if x + width > _WIDTH - _GAP:
                x, y = 44.0, y + _ROW
            lines.append(
                f"<g><title>{escape(room)}: {escape(subject(room))}</title>"
                f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{_ROW - _GAP}" rx="6"/>'
                f'<text x="{x + 10:.0f}" y="{y + 24}">{escape(room)}</text></g>'
            )
            x += width + _GAP
        y += _ROW
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" role="img" aria-label="rooms by floor">'
    return "\n".join([head, f"<style>{_STYLE}</style>", *lines, "</svg>"]) + "\n"


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(draw(), encoding="utf-8")
    print(f"result: {PICTURE.relative_to(ROOT)}")
