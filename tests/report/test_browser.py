"""The report in a real browser: it loads from a file, seeks, switches episodes, and fits wide and narrow windows.

Needs Playwright (`pip install playwright`) and a Chromium on the path, or named by PISTAR_VF_CHROMIUM.
"""

import os
import shutil
import time

import numpy as np
import pytest

from pistar_vf.report.charts import Bars, Line, Plot
from pistar_vf.report.clips import Clip, encode
from pistar_vf.report.content import Details, EpisodeLink, Facts, Mark, Page, Paragraph, Section, Table
from pistar_vf.report.episodes import Episode, FrameLabels, distribution_strip
from pistar_vf.report.page import write_page

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
LONG = "a sentence that is long enough to need several lines on the screen of a telephone, " * 3
FRAMES, FPS = 40, 10.0


def made_up(index: int, prompt: str) -> Episode:
    """V rises from -0.9 to -0.1, but is 0.5 too low in frame 17; the picture of frame i is of brightness 6 i."""
    target = np.linspace(-0.9, -0.1, FRAMES)
    value = target - 0.5 * (np.arange(FRAMES) == 17) * (target > -0.7)
    advantage = np.linspace(-0.2, 0.2, FRAMES)
    probs = np.exp(-0.5 * ((np.linspace(-1, 0, 201) - value[:, None]) / 0.05) ** 2)
    frames = [np.full((48, 64, 3), 6 * number, np.uint8) for number in range(FRAMES)]
    labels = FrameLabels(
        word=1 + (advantage > 0.05),
        reason=(advantage > 0.05).astype(int),
        reasons=("it is not above", "it is above"),
        advantage=advantage,
        threshold=np.full(FRAMES, 0.05),
        then=np.minimum(np.arange(FRAMES) + 5, FRAMES),
        value_then=np.append(value, np.zeros(5))[5:],
    )
    return Episode(
        index=index,
        prompt=prompt,
        outcome="success",
        note="not seen in training",
        fps=FPS,
        clips=tuple(Clip(name, *encode(frames, FPS, FRAMES, 100_000)) for name in ("front", "wrist")),
        intervention=(np.arange(FRAMES) > 29) & (np.arange(FRAMES) < 35),
        value=value,
        strip=distribution_strip(probs / probs.sum(axis=1, keepdims=True)),
        target=target,
        labels=labels,
        disagreement=float(np.abs(value - target).mean()),
    )


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    table = Table(
        ("", "criterion", "found"), ((Mark("FAIL", "bad"), "V varies", LONG), (Mark("pass", "good"), "x", "y"))
    )
    ranking = Table(
        ("episode", "prompt"), ((EpisodeLink(3), LONG), (EpisodeLink(8), "short"), (EpisodeLink(9), "short"))
    )
    x = np.arange(30.0)
    curves = tuple(Plot(f"loss {n}", "step", (Line("train", x, np.exp(-x / 9)),)) for n in range(4))
    bars = Plot("advantages", "A", bars=(Bars("frames", np.arange(31.0), np.abs(x - 15)),), marks=(("threshold", 9.0),))
    numbers = Table(tuple(f"measure {n}" for n in range(9)), (tuple("0.1234 … 0.5678" for _ in range(9)),))
    sections = (
        Section("Gate", (table, Paragraph(LONG))),
        Section("Measures", (numbers, bars)),
        Section("Ranking", (ranking,)),
        Section("Training", curves),
        Section(
            "Dataset", (Facts((("a_name_of_a_column_without_any_space_in_it", "value" * 40),)), Details("raw", LONG))
        ),
    )
    evil = "pick </script><script>document.title = 'taken'</script> up"
    page = Page(
        "vials", Mark("gate: FAILED (V varies)", "bad"), LONG, (made_up(3, evil), made_up(8, "second")), sections
    )
    return write_page(page, tmp_path_factory.mktemp("a folder") / "report.html").as_uri()


@pytest.fixture(scope="module")
def chromium():
    path = os.environ.get("PISTAR_VF_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium is here (apt-get install chromium); PISTAR_VF_CHROMIUM may name one")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, address):
    """A page in a window of some width; whatever it complains about, or asks of others, fails the test."""
    complaints, pages = [], []

    def open_page(width: int = 1280, dark: bool = False, fragment: str = ""):
        page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light")
        page.set_default_timeout(60_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if asks_others(request.url) else None)
        page.goto(address + fragment)
        until(page, "[...document.querySelectorAll('video')].every(video => video.readyState > 1)")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []


def until(page, expression: str) -> None:
    """Waits until it holds; Playwright's own way is stopped by the page's policy, as it evaluates a text."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        time.sleep(0.1)
    raise AssertionError(f"it never came to {expression}")


def asks_others(url: str) -> bool:
    return not url.startswith(("file:", "blob:", "data:"))


def brightness(page) -> list[float]:
    """Of what each camera shows now, once it has arrived at the frame."""
    until(
        page,
        "[...document.querySelectorAll('video')].every(video => !video.seeking"
        f" && Math.abs(video.currentTime - (Number(document.getElementById('frame').value) + 0.5) / {FPS}) < 0.03)",
    )
    return page.evaluate("""[...document.querySelectorAll('video')].map(video => {
        const canvas = document.createElement('canvas');
        canvas.width = canvas.height = 8;
        const pen = canvas.getContext('2d');
        pen.drawImage(video, 0, 0, 8, 8);
        return pen.getImageData(4, 4, 1, 1).data[1];
    })""")


def frame(page) -> int:
    return int(page.input_value("#frame"))


def test_it_opens_with_the_first_episode(opened):
    page = opened()
    assert page.title() == "vials"  # not what a prompt would like
    assert "pick </script>" in page.inner_text("#about")
    assert frame(page) == 0
    assert page.locator("video").count() == 2


def test_the_slider_moves_pictures_and_reasons(opened):
    page = opened()
    page.evaluate("frame.value = 30; frame.dispatchEvent(new Event('input'))")
    assert brightness(page) == pytest.approx([180, 180], abs=6)
    why = page.inner_text("#why")
    for text in ("positive", "it is above", "30 of 40", "operator", "V then, frame 35", "+0.0500"):
        assert text in why
    page.evaluate("frame.value = 38; frame.dispatchEvent(new Event('input'))")
    assert brightness(page) == pytest.approx([228, 228], abs=6)
    assert "V past the end" in page.inner_text("#why")


def test_keys(opened):
    page = opened()
    for key, expected in (
        *(("ArrowRight", 1), ("Shift+ArrowRight", 11), ("ArrowLeft", 10), ("Shift+ArrowLeft", 0), ("ArrowLeft", 0)),
        *(("End", 39), ("ArrowRight", 39), ("Home", 0), ("w", 17)),
    ):
        page.keyboard.press(key)
        assert frame(page) == expected, key
    page.keyboard.press("n")
    assert "second" in page.inner_text("#about")
    assert brightness(page) == pytest.approx([0, 0], abs=6)
    page.keyboard.press("n")
    assert "pick" in page.inner_text("#about")
    page.keyboard.press("p")
    assert "second" in page.inner_text("#about")


def test_it_plays_and_stops(opened):
    page = opened()
    page.keyboard.press("Space")
    until(page, "Number(document.getElementById('frame').value) > 3")
    page.keyboard.press("Space")
    stopped = frame(page)
    assert page.inner_text("#play") == "play"
    page.wait_for_timeout(300)
    assert frame(page) == stopped


def test_a_click_into_the_curves(opened):
    page = opened()
    box = page.locator("#curves").bounding_box()
    page.mouse.click(box["x"] + 46 + (box["width"] - 46 - 8) * (25.5 / FRAMES), box["y"] + 100)
    assert frame(page) == 25


def test_an_episode_of_the_ranking(opened):
    page = opened()
    page.click("a[href='#episode-8']")
    assert "second" in page.inner_text("#about")
    assert page.input_value("#episode") == "8"
    assert "second" in opened(fragment="#episode-8").inner_text("#about")


def test_curves_are_drawn(opened):
    """The canvas has the colours of V, advantage and labels; another frame changes the cursor alone."""
    page = opened()
    colours = """Object.fromEntries(['--accent', '--c4', '--good', '--bad'].map(name => {
        const wanted = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
        const copy = Object.assign(document.createElement('canvas'), { width: curves.width, height: curves.height });
        const pen = copy.getContext('2d', { willReadFrequently: true });
        pen.drawImage(curves, 0, 0);
        const pixels = pen.getImageData(0, 0, copy.width, copy.height).data;
        const [r, g, b] = [1, 3, 5].map(start => parseInt(wanted.slice(start, start + 2), 16));
        let count = 0;
        for (let i = 0; i < pixels.length; i += 4) {
            count += pixels[i] === r && pixels[i + 1] === g && pixels[i + 2] === b && pixels[i + 3] === 255;
        }
        return [name, count];
    }))"""
    for dark in (False, True):
        counts = opened(dark=dark).evaluate(colours)
        assert all(count > 50 for count in counts.values()), counts
    assert page.evaluate("curves.width") > 900


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_sticks_out(opened, width, dark):
    """No overflow of the page, and no text outside of the box that holds it, but where a box scrolls."""
    page = opened(width, dark)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    outside = page.evaluate("""[...document.querySelectorAll('main *, header *')].filter(one => {
        const box = one.getBoundingClientRect();
        return box.width && !one.closest('.scroll') && (box.left < -1 || box.right > innerWidth + 1);
    }).map(one => one.outerHTML.slice(0, 80))""")
    assert outside == []
    overlapping = page.evaluate("""[...document.querySelectorAll('svg')].flatMap(svg => {
        const boxes = [...svg.querySelectorAll('text')].map(one => one.getBoundingClientRect());
        return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b =>
            a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3));
    }).length""")
    assert overlapping == 0
