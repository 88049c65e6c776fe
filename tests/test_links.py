"""No link of a page leads nowhere: neither its file nor its heading."""

import re
from pathlib import Path

import pytest
from support.places import ROOT

PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Of the headings, as MkDocs makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower() for heading in headings]
    return {re.sub(r"[-\s]+", "-", word) for word in words}


def dead(page: Path) -> list[str]:
    found = []
    for path, anchor in LINK.findall(prose(page)):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(f"{path}#{anchor}")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_link_leads_nowhere(page):
    assert dead(page) == []


def test_dead_links_are_found(tmp_path):
    (tmp_path / "b.md").write_text("# What `b` is, in 2 words\n")
    page = tmp_path / "a.md"
    page.write_text("[x](b.md) [y](b.md#what-b-is-in-2-words) [z](c.md) [w](b.md#no) [v](#no)\n```\n[u](d.md)\n```\n")
    assert dead(page) == ["c.md#", "b.md#no", "#no"]
