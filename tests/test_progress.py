"""In a log a stage leaves one line; a long one a line every five minutes besides."""

import logging

import pytest

from pistar_vf.progress import ProgressLines


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(ProgressLines, "clock", lambda: now[0])
    return now


def lines(caplog) -> list[str]:
    return [record.getMessage().rpartition(" in ")[0] for record in caplog.records]


def test_a_stage_leaves_one_line(clock, caplog):
    caplog.set_level(logging.INFO)
    with ProgressLines(total=10_844, desc="values", unit=" frames") as bar:
        for _ in range(4):
            clock[0] += 60.0
            bar.update(2_711)
            bar.refresh()
            assert lines(caplog) == []
    assert lines(caplog) == ["values: 10,844 frames"]
    bar.close()
    assert len(lines(caplog)) == 1


def test_a_long_one_leaves_some_on_the_way(clock, caplog):
    caplog.set_level(logging.INFO)
    with ProgressLines(total=1000, desc="training") as bar:
        for _ in range(11):
            clock[0] += 60.0
            bar.update(100 if bar.n < 900 else 0)
            bar.refresh()
    assert lines(caplog) == ["training: 500 of 1,000 it", "training: 900 of 1,000 it", "training: 900 of 1,000 it"]


def test_what_nobody_counts_and_what_is_switched_off(clock, caplog):
    caplog.set_level(logging.INFO)
    assert list(ProgressLines(iter("ab"), desc="letters", unit="letter")) == ["a", "b"]
    assert list(ProgressLines("ab", desc="letters", unit="letter", disable=True)) == ["a", "b"]
    assert lines(caplog) == ["letters: 2 letter"]
