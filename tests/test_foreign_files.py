"""Objects of JSON from files that anybody may have damaged."""

import pytest

from pistar_vf.errors import CheckpointError, ConfigError, DatasetError
from pistar_vf.foreign_files import object_of, read_object


def test_an_object():
    assert object_of(b'\xef\xbb\xbf{"a": 1}', "file", "a plan") == {"a": 1}
    assert object_of('{"a": 1}', "file", "a plan") == {"a": 1}


@pytest.mark.parametrize("content", [b"", b"{", b"\xeb\xff", "{" * 100_000, b"[" * 100_000])
def test_what_is_no_json(content):
    with pytest.raises(
        CheckpointError, match=r"file: expected a plan, got something else \(.+\); put back a copy of it"
    ):
        object_of(content, "file", "a plan", CheckpointError)


def test_what_is_no_object(tmp_path):
    with pytest.raises(DatasetError, match=r"file: expected a plan, got something else \(list"):
        object_of("[1]", "file", "a plan")
    with pytest.raises(ConfigError, match=r"plan.json: expected a plan, found no such file"):
        read_object(tmp_path / "plan.json", "a plan", ConfigError)
