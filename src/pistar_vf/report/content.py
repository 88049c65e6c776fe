"""What a page is made of; texts are plain, `page` escapes them."""

import dataclasses
from typing import Literal, TypeAlias

from pistar_vf.report.charts import Plot
from pistar_vf.report.episodes import Episode

Kind: TypeAlias = Literal["good", "bad", "doubt", "plain"]


@dataclasses.dataclass(frozen=True)
class Mark:
    """A short text that is good, bad or doubtful, and looks so.

    Attributes:
        text: what is shown.
        kind: how it looks.
    """

    text: str
    kind: Kind


@dataclasses.dataclass(frozen=True)
class EpisodeLink:
    """The number of an episode, which opens it in the browser of episodes where it is there.

    Attributes:
        index: its `episode_index`.
    """

    index: int


Cell: TypeAlias = str | Mark | EpisodeLink


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows under a head.

    Attributes:
        head: names of the columns.
        rows: as many cells each.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclasses.dataclass(frozen=True)
class Facts:
    """Names and what is known of them.

    Attributes:
        rows: name and text.
    """

    rows: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """A sentence or two.

    Attributes:
        text: of the paragraph.
        kind: how it looks.
    """

    text: str
    kind: Kind = "plain"


@dataclasses.dataclass(frozen=True)
class Details:
    """A text as it is in a file, folded away.

    Attributes:
        title: shown.
        text: shown when asked for.
    """

    title: str
    text: str


Part: TypeAlias = Table | Facts | Paragraph | Details | Plot


@dataclasses.dataclass(frozen=True)
class Section:
    """A chapter of the page.

    Attributes:
        title: also its place in the list at the top.
        parts: in this order; plots that follow each other stand side by side.
    """

    title: str
    parts: tuple[Part, ...]


@dataclasses.dataclass(frozen=True)
class Page:
    """Everything that is shown.

    Attributes:
        title: what it is about.
        verdict: the one thing to know, above everything else; None where nobody judged.
        chosen: how many episodes can be looked at, and why these.
        episodes: those of the browser, in its order.
        sections: below it.
    """

    title: str
    verdict: Mark | None
    chosen: str
    episodes: tuple[Episode, ...]
    sections: tuple[Section, ...]
