"""Parts to HTML: one file that asks for nothing else, neither a server nor the network.

Whatever a dataset says (names, prompts) is escaped; a policy in the page lets no script run but the page's own.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from pistar_vf.changes.durable_files import write_whole
from pistar_vf.report import charts
from pistar_vf.report.content import Cell, Details, EpisodeLink, Facts, Mark, Page, Part, Section, Table
from pistar_vf.report.episodes import Episode

_BROWSER = "Episodes"
_LONG = 30  # rows: more of them scroll in a box of their own
_WIDE = 18  # letters: a cell with more needs room, however narrow the page is
_SENTENCE = 50  # letters: a table with such a cell is read row by row on a narrow page
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; media-src blob:; script-src '{script}'"


def write_page(page: Page, path: Path) -> Path:
    """Writes the file, whole or not at all.

    Args:
        page: what is shown.
        path: the HTML file; its folder is made where it is missing.
    """
    write_whole(path, to_html(page))
    return path


def to_html(page: Page) -> str:
    """The whole file."""
    style, script = (files("pistar_vf.report").joinpath(name).read_text("utf-8") for name in ("page.css", "browser.js"))
    digest = "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    title = escape(page.title)
    verdict = "" if page.verdict is None else f'<p class="verdict {page.verdict.kind}">{escape(page.verdict.text)}</p>'
    titles = [*([_BROWSER] if page.episodes else []), *(section.title for section in page.sections)]
    links = "".join(f'<a href="#{_anchor(name)}">{escape(name)}</a>' for name in titles)
    shown = {episode.index for episode in page.episodes}
    sections = "".join(_section(section, shown) for section in page.sections)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY.format(script=digest)}">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1>{verdict}<nav>{links}</nav></header>
<main>{_browser(page)}{sections}</main>
{_data(page.episodes)}
<script>{script}</script>
</body>
</html>
"""


def _anchor(title: str) -> str:
    return "section-" + "".join(letter if letter.isalnum() else "-" for letter in title.lower())


def _section(section: Section, shown: set[int]) -> str:
    parts = "".join(_part(part, shown) for part in section.parts)
    head = f'<section id="{_anchor(section.title)}"><h2>{escape(section.title)}</h2>'
    return f'{head}<div class="parts">{parts}</div></section>'


def _part(part: Part, shown: set[int]) -> str:
    if isinstance(part, charts.Plot):
        return charts.draw(part)
    if isinstance(part, Table):
        return _table(part, shown)
    if isinstance(part, Facts):
        rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in part.rows)
        return f"<dl>{rows}</dl>"
    if isinstance(part, Details):
        return f"<details><summary>{escape(part.title)}</summary><pre>{escape(part.text)}</pre></details>"
    return f'<p class="{part.kind}">{escape(part.text)}</p>'


def _table(table: Table, shown: set[int]) -> str:
    kinds = [kind for kind, holds in (("long", len(table.rows) > _LONG), ("sentences", _has_sentences(table))) if holds]
    head = "".join(f"<th>{escape(name)}</th>" for name in table.head)
    rows = "".join(
        "<tr>" + "".join(_cell(cell, name, shown) for cell, name in zip(row, table.head)) + "</tr>"
        for row in table.rows
    )
    table_html = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="{" ".join(["scroll", *kinds])}">{table_html}</div>'


def _has_sentences(table: Table) -> bool:
    return any(isinstance(cell, str) and len(cell) > _SENTENCE for row in table.rows for cell in row)


def _cell(cell: Cell, head: str, shown: set[int]) -> str:
    name = f' data-head="{escape(head)}"' if head else ""
    if isinstance(cell, Mark):
        return f'<td class="{cell.kind}"{name}>{escape(cell.text)}</td>'
    if isinstance(cell, EpisodeLink):
        link = f'<a href="#episode-{cell.index}">{cell.index}</a>' if cell.index in shown else str(cell.index)
        return f"<td{name}>{link}</td>"
    wide = ' class="wide"' if len(cell) > _WIDE else ""
    return f"<td{wide}{name}>{escape(cell)}</td>"


def _browser(page: Page) -> str:
    """What the script fills."""
    if not page.episodes:
        return ""
    return f"""<section id="{_anchor(_BROWSER)}"><h2>{_BROWSER}</h2>
<p class="quiet">{escape(page.chosen)}</p>
<div id="browser">
<div class="choice"><button id="previous" title="previous episode (p)">‹</button>
<select id="episode" aria-label="episode"></select><button id="next" title="next episode (n)">›</button></div>
<p id="about"></p>
<div id="videos"></div>
<canvas id="curves" role="img" aria-label="value, advantage and labels over the episode"></canvas>
<input id="frame" type="range" min="0" value="0" step="1" aria-label="frame">
<div class="play"><button id="play">play</button><button id="worst">worst frame</button>
<output id="time"></output></div>
<ul class="legend" id="legend"></ul>
<div id="why"></div>
<p class="quiet keys">Keys: ← → a frame, shift ten frames; space plays; n and p change the episode; w goes to the worst
frame.</p>
</div></section>"""


def _data(episodes: Sequence[Episode]) -> str:
    """Curves as JSON, and every video as a text of its own, which is decoded when it is looked at."""
    # "<" would end the element or open a comment wherever a prompt holds "</script>" or "<!--".
    curves = json.dumps([episode.to_json() for episode in episodes], separators=(",", ":")).replace("<", "\\u003c")
    clips = "\n".join(
        f'<script type="text/plain" id="clip-{episode.index}-{number}">{clip.base64()}</script>'
        for episode in episodes
        for number, clip in enumerate(episode.clips)
    )
    return f'<script type="application/json" id="episodes">{curves}</script>\n{clips}'
