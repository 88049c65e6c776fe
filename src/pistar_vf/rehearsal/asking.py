"""Asks the process that runs code of checkouts."""

import atexit
import functools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pistar_vf
from pistar_vf.faults.finding import Finding
from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.rehearsal.seen import Seen

_ONE_AT_A_TIME = threading.Lock()
_START = """\
import sys
ours, *others = sys.argv[1:]
if ours not in sys.path:
    sys.path.insert(0, ours)
sys.path += [each for each in others if each not in sys.path]
from pistar_vf.rehearsal.stage import main
main()
"""
"""Python's own modules come before those of the folder that the caller happens to be in."""


def rehearse(question: str, tree: SourceTree, fields: dict[str, Any]) -> Seen | None:
    """What a checkout's functions do when they are run in memory; None where that cannot be told.

    Args:
        question: one of `REHEARSALS`.
        tree: the checkout, with changes that are not written yet.
        fields: what the question is about.

    Returns:
        What is seen, and which functions ran.
    """
    changed = {file: None if data is None else data.decode("latin-1") for file, data in tree.on_top.items()}
    root = str(tree.root.absolute())
    line = json.dumps({"question": question, "root": root, "changed": changed, "fields": fields})
    with _ONE_AT_A_TIME:
        answer = json.loads(_said(line))
    return None if answer is None else Seen(Finding(**answer["finding"]), frozenset(answer["ran"]))


def _said(line: str) -> str:
    """The stage's answer to a line; a stage that has gone says nothing, and the next question gets another."""
    try:
        stage = _stage(os.getpid())
        print(line, file=stage.stdin, flush=True)
        answer = stage.stdout.readline() if stage.stdout else ""
    except OSError:
        answer = ""
    if not answer:
        _stage.cache_clear()
    return answer or "null"


@functools.lru_cache(maxsize=1)
def _stage(asking: int) -> "subprocess.Popen[str]":
    """The stage of a process: it knows nothing of its environment, and ends when that process does."""
    words = [sys.executable, "-I", "-c", _START, str(Path(pistar_vf.__file__).parents[1]), *filter(None, sys.path)]
    stage = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd="/", env={}
    )
    atexit.register(_end, stage, asking)
    return stage


def _end(stage: "subprocess.Popen[str]", asking: int) -> None:
    if os.getpid() == asking:
        stage.communicate()
