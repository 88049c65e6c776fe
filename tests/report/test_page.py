"""The file itself: everything in it, nothing from elsewhere, and text of the data is only text."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from pistar_vf.report.charts import Line, Plot
from pistar_vf.report.clips import Clip
from pistar_vf.report.content import Details, EpisodeLink, Facts, Mark, Page, Paragraph, Section, Table
from pistar_vf.report.episodes import Episode, FrameLabels, distribution_strip
from pistar_vf.report.page import to_html, write_page

EVIL = "</script><script>alert(1)</script><!-- <b onclick='x'> & \"quoted\""


def episode(index: int, **changes) -> Episode:
    fields = {
        "index": index,
        "prompt": EVIL,
        "outcome": "failure",
        "note": "",
        "fps": 10.0,
        "clips": (Clip("front", "video/mp4", b"\x00\x01"), Clip(EVIL, "video/mp4", b"\x02")),
        "intervention": np.array([False, True, False]),
        "value": np.array([-0.5, np.nan, -0.12345]),
        "target": np.array([-1.0, -1.0, -1.0]),
    }
    return Episode(**{**fields, **changes})


def page(*episodes: Episode, **changes) -> Page:
    fields = {"title": "vials", "verdict": None, "chosen": "all", "episodes": episodes, "sections": ()}
    return Page(**{**fields, **changes})


class Elements(HTMLParser):
    """Every element's name, attributes and text."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), []))

    def handle_endtag(self, tag):
        self.found.append((f"/{tag}", {}, []))

    def handle_data(self, data):
        if self.found:
            self.found[-1][2].append(data)

    def of(self, tag: str, **attributes: str) -> list[str]:
        return ["".join(text) for name, own, text in self.found if name == tag and attributes.items() <= own.items()]


def test_curves_and_videos_are_in_the_file():
    found = Elements(to_html(page(episode(4), episode(7))))
    (curves,) = found.of("script", id="episodes")
    first, second = json.loads(curves)
    assert (first["index"], second["index"]) == (4, 7)
    assert first["value"] == [-0.5, None, -0.1235]  # NaN is no JSON
    assert first["intervention"] == [0, 1, 0]
    assert first["disagreement"] is None
    assert first["cameras"] == [{"name": "front", "type": "video/mp4"}, {"name": EVIL, "type": "video/mp4"}]
    for name, data in (("clip-4-0", b"\x00\x01"), ("clip-7-1", b"\x02")):
        (text,) = found.of("script", id=name)
        assert base64.b64decode(text) == data


def test_labels_and_their_reasons_are_in_the_file():
    labels = FrameLabels(
        word=np.array([1, 2, 0]),
        reason=np.array([0, 1, 0]),
        reasons=("below", "above"),
        advantage=np.array([-0.1, 0.2, np.nan]),
        threshold=np.array([0.05, 0.05, 0.05]),
        then=np.array([2, 3, 3]),
        value_then=np.array([-0.2, 0.0, 0.0]),
    )
    (curves,) = Elements(to_html(page(episode(0, labels=labels)))).of("script", id="episodes")
    assert json.loads(curves)[0]["labels"] == {
        "words": ["none", "negative", "positive"],
        "word": [1, 2, 0],
        "reasons": ["below", "above"],
        "reason": [0, 1, 0],
        "advantage": [-0.1, 0.2, None],
        "threshold": [0.05, 0.05, 0.05],
        "then": [2, 3, 3],
        "valueThen": [-0.2, 0.0, 0.0],
    }


def test_text_of_the_data_is_only_text():
    parts = (
        Table((EVIL, ""), ((EVIL, Mark(EVIL, "bad")),)),
        Facts(((EVIL, EVIL),)),
        Paragraph(EVIL),
        Details(EVIL, EVIL),
        Plot(EVIL, EVIL, (Line(EVIL, np.arange(2), np.arange(2)),)),
    )
    text = to_html(
        page(episode(1), title=EVIL, verdict=Mark(EVIL, "bad"), chosen=EVIL, sections=(Section(EVIL, parts),))
    )
    found = Elements(text)
    plain = Elements(to_html(page(episode(1))))
    assert len(found.of("script")) == len(plain.of("script")) == 4  # curves, two videos, the page's own
    assert not any("onclick" in attributes for _, attributes, _ in found.found)
    assert found.of("b") == []
    assert found.of("h1") == [EVIL]
    assert "<!--" not in text


def test_nothing_is_asked_of_the_network():
    text = to_html(
        page(episode(1), sections=(Section("s", (Plot("t", "x", (Line("a", np.arange(2), np.arange(2)),)),)),))
    )
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    assert not re.search(r"\b(?:src|href)=(?!\"#)", text)


def test_the_policy_of_the_page_lets_its_own_script_run_and_no_other():
    text = to_html(page(episode(1)))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)
    own = Elements(text).of("script")[-1]
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; media-src blob:; script-src 'sha256-{digest}'"


def test_only_an_episode_that_is_shown_can_be_opened():
    table = Table(("episode",), ((EpisodeLink(4),), (EpisodeLink(5),)))
    found = Elements(to_html(page(episode(4), sections=(Section("Ranking", (table,)),))))
    assert found.of("a", href="#episode-4") == ["4"]
    assert found.of("a", href="#episode-5") == []
    assert "5" in found.of("td")


def test_every_section_can_be_gone_to():
    found = Elements(to_html(page(episode(4), sections=(Section("What made it", ()), Section("Dataset", ())))))
    links = [own["href"][1:] for tag, own, _ in found.found if tag == "a"]
    assert links == ["section-episodes", "section-what-made-it", "section-dataset"]
    assert [own["id"] for tag, own, _ in found.found if tag == "section"] == links


def test_without_episodes_there_is_no_browser():
    text = to_html(page(sections=(Section("Dataset", ()),)))
    assert 'id="browser"' not in text
    assert Elements(text).of("script", id="episodes") == ["[]"]


def test_the_file_is_written_whole(tmp_path):
    path = write_page(page(episode(1)), tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8") == to_html(page(episode(1)))
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_a_failure_leaves_nothing(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OSError, match=r"report\.html"):
        write_page(page(episode(1)), tmp_path / "report.html")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_the_strip_is_darkest_where_the_mass_is():
    probs = np.zeros((2, 201), np.float32)
    probs[0, 100] = 1.0
    probs[1] = 1 / 201
    strip = distribution_strip(probs)
    assert strip.shape == (2, 51)
    assert strip[0].tolist() == [0] * 25 + [255] + [0] * 25  # atom 100 is in the cell of atoms 100 … 103
    assert set(strip[1][:-1].tolist()) == {41}  # a model that knows nothing is pale: 255 √(4/201 ÷ 40/51)
