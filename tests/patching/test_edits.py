"""Single edits on a few lines. Oracle: the text that a person would write."""

import libcst as cst
import pytest

from pistar_vf.patching import definition_edits as definitions
from pistar_vf.patching import value_edits as values
from pistar_vf.patching.syntax import AnchorError

CASES = [
    (definitions.add_definition, ("def f():\n    pass",), "x = 1\n", "x = 1\n\n\ndef f():\n    pass\n"),
    (definitions.add_definition, ("def f(): pass",), "if a:\n  def g(): b\n", "if a:\n  def g(): b\n\n\ndef f(): pass\n"),  # noqa: E501
    (definitions.add_member, ("A", "b = 1"), "class A:\n\ta = 0  # why\n", "class A:\n\ta = 0  # why\n\tb = 1\n"),
    (definitions.add_member, ("A", "def f(self): 1"), "class A:\n  a = 0\n", "class A:\n  a = 0\n\n  def f(self): 1\n"),
    (definitions.add_import, ("import os",), "'''Doc.'''\nimport a\n\nx = 1\n", "'''Doc.'''\nimport a\nimport os\n\nx = 1\n"),  # noqa: E501
    (definitions.drop_import, ("a", "b"), "from a import b\nx = 1\n", "x = 1\n"),
    (definitions.drop_import, ("a", "b"), "from a import c, b\n", "from a import c\n"),
    (definitions.drop_import, ("a", "b"), "from a import b as d, c\n", "from a import c\n"),
    (definitions.rename_import, ("a.b", "a.c"), "from a.b import x  # why\n", "from a.c import x  # why\n"),
    (definitions.rename_import, ("a.b", "a.c"), "import a.b as x\n", "import a.c as x\n"),
    (definitions.rename_import, ("a.b", "a.c"), "from a import b, d\n", "from a import c as b, d\n"),
    (definitions.add_parameters, ("f", "c=1"), "def f(a, b=2): ...\n", "def f(a, b=2, c=1): ...\n"),
    (definitions.add_parameters, ("f", "c=1, *, d=2"), "def f(a): ...\n", "def f(a, c=1, *, d=2): ...\n"),
    (definitions.add_parameters, ("f", "*, d=2"), "def f(*, a): ...\n", "def f(*, a, d=2): ...\n"),
    (definitions.add_parameters, ("f", "*, d=2"), "def f(*a, **b): ...\n", "def f(*a, d=2, **b): ...\n"),
    (definitions.add_parameters, ("f", "c=1, *, d=2"), "def f(\n    a,  # why\n    b=1,\n): ...\n", "def f(\n    a,  # why\n    b=1,\n    c=1, *, d=2,\n): ...\n"),  # noqa: E501
    (definitions.add_parameters, ("f", "c=1, *, d=2"), "def f(\n    a,\n    *,\n    b=1,\n): ...\n", "def f(\n    a,\n    c=1, *,\n    b=1,\n    d=2,\n): ...\n"),  # noqa: E501
    (definitions.add_parameters, ("f", "c=1, *, d=2"), "def f(): ...\n", "def f(c=1, *, d=2): ...\n"),
    (definitions.rebase_class, ("A", "x.B", "dataclass"), "@y.dataclass(frozen=1)\nclass A: ...\n", "class A(x.B): ...\n"),  # noqa: E501
    (definitions.rebase_class, ("A", "B", "d"), "@e\n@d\nclass A(C): ...\n", "@e\nclass A(C, B): ...\n"),
    (definitions.insert_after, ("f.x", "y = 1"), "def f():\n  if a:\n    x = 1  # why\n", "def f():\n  if a:\n    x = 1  # why\n    y = 1\n"),  # noqa: E501
    (definitions.insert_after, ("f", "def g(): 1"), "def f(): 0\nx = 1\n", "def f(): 0\n\n\ndef g(): 1\nx = 1\n"),
    (definitions.replace_definition, ("f.g", "import a\ng = a"), "def f():\n  # why\n  @b\n  def g(): 1\n", "def f():\n  # why\n  import a\n  g = a\n"),  # noqa: E501
    (values.set_value, ("A.a", "0"), "class A:\n    a: int\n", "class A:\n    a: int = 0\n"),
    (values.set_value, ("x", "int({value})"), "x = a.b  # why\n", "x = int(a.b)  # why\n"),
    (values.set_returned, ("f", "g({value})"), "def f():\n    return a\n", "def f():\n    return g(a)\n"),
    (values.set_returned, ("f", "g({value})"), "def f():\n    if a: return b\n    return c\n", "def f():\n    if a: return g(b)\n    return g(c)\n"),  # noqa: E501
    (values.set_keyword, ("f", "g", "a", "h({value})", "b"), "def f():\n    m.g(1, b=2)\n", "def f():\n    m.g(1, a=h(2))\n"),  # noqa: E501
    (values.set_keyword, ("f", "g", "a", "()"), "def f(): g(1, b=2)\n", "def f(): g(1, b=2, a=())\n"),
    (values.set_keyword, ("f", "g", "a", "()"), "def f(): g()\n", "def f(): g(a=())\n"),
    (values.set_keyword, ("f", "g", "a", "()"), "x = 1\ndef f(): g(\n    b=1,  # why\n    c=2,\n)\n", "x = 1\ndef f(): g(\n    b=1,  # why\n    c=2,\n    a=(),\n)\n"),  # noqa: E501
    (values.set_keyword, ("f", "g", "a", "h({value})", "b"), "def f(): g(a=2)\n", "def f(): g(a=h(2))\n"),
    (values.set_keyword, ("f", "g", "a", "()"), "def f(): g(a=2)\n", "def f(): g(a=())\n"),
    (values.set_returned, ("f", "h({value})"), "f = lambda x: g(x)\n", "f = lambda x: h(g(x))\n"),
    (values.quote_annotations, ("b",), "def f(*, a: b[c] = 1): ...\n", 'def f(*, a: "b[c]" = 1): ...\n'),
    (values.quote_annotations, ("b",), 'def f(a: x.b["c"]) -> b: ...\n', "def f(a: 'x.b[\"c\"]') -> \"b\": ...\n"),
    (values.extend_list, ("x", ["a", "b"]), "x = ['a']\n", "x = ['a', \"b\"]\n"),
    (values.extend_list, ("x", ["a", "b"]), "x = []\n", 'x = ["a", "b"]\n'),
    (values.extend_list, ("x", ["b"]), 'x = [\n    "a",\n]\n', 'x = [\n    "a",\n    "b",\n]\n'),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "fields", "before", "after"), CASES)
def test_an_edit_and_the_same_again(edit, fields, before, after):
    once = edit(cst.parse_module(before), *fields)
    assert once.code == after
    assert edit(once, *fields).code == after


REFUSED = [
    (definitions.add_definition, ("def f(): 1",), "def f(): 2\n", "`f` is there already, but another one"),
    (definitions.add_member, ("A", "a = 1"), "x = 1\n", "`A` is missing"),
    (definitions.add_member, ("A", "a = 1"), "class A: ...\n", "`A` stands on one line"),
    (definitions.add_import, ("import os",), "x = 1\n", "there is no import at the top of the file"),
    (definitions.add_parameters, ("A.f", "a=1"), "class A:\n  f = 1\n", "`A.f` is no function and no class any more"),
    (definitions.add_parameters, ("A", "a=1"), "class A: ...\n", "`A` is no function any more"),
    (definitions.rebase_class, ("f", "A", "d"), "def f(): ...\n", "`f` is no class any more"),
    (definitions.replace_definition, ("f", "f = 1"), "f = 2\n", "`f` is no function any more"),
    (values.set_value, ("x", "1"), "def x(): ...\n", "`x` is not assigned any more"),
    (values.set_returned, ("f", "1"), "def f(): ...\n", "`f` returns nothing"),
    (values.set_keyword, ("f", "g", "a", "1"), "def f(): ...\n", "`f` calls `g` 0 times, expected once"),
    (values.set_keyword, ("f", "g", "a", "1", "b"), "def f(): g()\n", "the call of `g` in `f` has no keyword `b`"),
    (values.quote_annotations, ("b",), "def f(a: c): ...\n", "no annotation mentions `b`"),
    (values.extend_list, ("x", ["a"]), "x = f()\n", "`x` is no list any more"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "fields", "before", "message"), REFUSED)
def test_an_edit_without_hold(edit, fields, before, message):
    with pytest.raises(AnchorError) as caught:
        edit(cst.parse_module(before), *fields)
    assert str(caught.value) == message
