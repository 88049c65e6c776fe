"""Readers against numpy, the safetensors package and what was written; every kind of damage is named."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from pistar_vf.errors import CheckpointError
from pistar_vf.weights.export import write_flat_orbax, write_npz, write_safetensors
from pistar_vf.weights.sources import NpzSource, OrbaxSource, SafetensorsSource

RNG = np.random.default_rng(0)
ARRAYS = {
    "a/kernel": RNG.standard_normal((3, 4)).astype(np.float32),
    "a/half": RNG.standard_normal((2, 5)).astype(np.float16),
    "b/steps": np.arange(7, dtype=np.int64),
    "b/scalar": np.asarray(2.5, np.float32),
}
BF16 = RNG.standard_normal((4, 3)).astype(jnp.bfloat16)


def read_all(source):
    names = sorted(source.leaves)
    return dict(zip(names, source.read(names), strict=True))


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        assert found[name].tobytes() == array.tobytes(), name


def test_npz_written_by_numpy(tmp_path):
    np.savez(tmp_path / "x.npz", **ARRAYS)
    source = NpzSource(tmp_path / "x.npz")
    assert {name: (leaf.shape, leaf.dtype) for name, leaf in source.leaves.items()} == {
        name: (array.shape, array.dtype) for name, array in ARRAYS.items()
    }
    assert_same(read_all(source), ARRAYS)


def test_our_npz_is_read_by_numpy(tmp_path):
    write_npz(tmp_path / "x.npz", ARRAYS)
    with np.load(tmp_path / "x.npz") as archive:
        assert_same(dict(archive), ARRAYS)


def test_bfloat16_in_an_npz(tmp_path):
    np.savez(tmp_path / "numpys.npz", x=BF16)
    write_npz(tmp_path / "ours.npz", {"x": BF16})
    for name in ("numpys.npz", "ours.npz"):
        assert_same(read_all(NpzSource(tmp_path / name)), {"x": BF16})


def test_safetensors_written_by_the_package(tmp_path):
    safetensors.numpy.save_file(ARRAYS, tmp_path / "x.safetensors", metadata={"format": "np"})
    assert_same(read_all(SafetensorsSource(tmp_path / "x.safetensors")), ARRAYS)


def test_our_safetensors_are_read_by_the_package(tmp_path):
    write_safetensors(tmp_path / "x.safetensors", ARRAYS)
    assert_same(safetensors.numpy.load_file(tmp_path / "x.safetensors"), ARRAYS)


def test_bfloat16_in_safetensors_against_torch(tmp_path):
    torch = pytest.importorskip("torch", reason="numpy has no bfloat16 of its own")
    from safetensors.torch import load_file, save_file

    tensor = torch.from_numpy(BF16.view(np.uint16).copy()).view(torch.bfloat16)
    save_file({"x": tensor}, tmp_path / "torch.safetensors")
    write_safetensors(tmp_path / "ours.safetensors", {"x": BF16})
    assert_same(read_all(SafetensorsSource(tmp_path / "torch.safetensors")), {"x": BF16})
    assert torch.equal(load_file(tmp_path / "ours.safetensors")["x"], tensor)


@pytest.fixture
def shards(tmp_path):
    names = sorted(ARRAYS)
    files = {"model-1.safetensors": names[:2], "model-2.safetensors": names[2:]}
    for file, part in files.items():
        safetensors.numpy.save_file({name: ARRAYS[name] for name in part}, tmp_path / file)
    index = {name: file for file, part in files.items() for name in part}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return tmp_path


def test_shards_are_one_source(shards):
    assert_same(read_all(SafetensorsSource(shards)), ARRAYS)


def test_a_missing_shard(shards):
    (shards / "model-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"expected the shards model-2\.safetensors beside it; download"):
        SafetensorsSource(shards)


def test_an_index_that_does_not_fit(shards):
    safetensors.numpy.save_file({"other": np.zeros(1)}, shards / "model-2.safetensors")
    with pytest.raises(
        CheckpointError, match=r"index does not fit its shards.*\n  − b/s\w+ .*\n.*\n  \+ other model-2"
    ):
        SafetensorsSource(shards)


def test_a_leaf_in_another_shard_than_the_index_says(shards):
    path = shards / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    first, *_, last = index["weight_map"]
    index["weight_map"][first] = index["weight_map"][last]
    path.write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"≠ \S+: expected \S+\.safetensors, got \S+\.safetensors"):
        SafetensorsSource(shards)


def test_a_truncated_safetensors_file(tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, ARRAYS)
    complete = path.read_bytes()
    path.write_bytes(complete[:-1])
    with pytest.raises(CheckpointError, match=rf"expected {len(complete)} bytes, got {len(complete) - 1}; download"):
        SafetensorsSource(path)
    path.write_bytes(complete[:100])
    with pytest.raises(CheckpointError, match="expected a safetensors file, could not read it"):
        SafetensorsSource(path)


def test_a_safetensors_header_that_lies(tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"a": np.zeros((2, 2), np.float32)})
    path.write_bytes(path.read_bytes().replace(b"[2,2]", b"[2,3]"))
    with pytest.raises(CheckpointError, match=r"a has 16 bytes, which is not F32 \(2, 3\)"):
        SafetensorsSource(path)


def test_a_folder_without_weights(tmp_path):
    with pytest.raises(CheckpointError, match=r"expected model\.safetensors, or a readable model\.safetensors\.index"):
        SafetensorsSource(tmp_path)


def test_a_truncated_npz(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, **ARRAYS)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(CheckpointError, match=r"expected a numpy \.npz archive, could not read it"):
        NpzSource(path)


def test_an_npz_with_a_flipped_bit(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.zeros(1000, np.float32))
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    source = NpzSource(path)
    with pytest.raises(CheckpointError, match=r"could not read it: Bad CRC-32"):
        list(source.read(["x"]))


def test_orbax_with_slashes_inside_its_keys(tmp_path):
    arrays = {"transformer/layer_0/attn/q_einsum/w": BF16, "transformer/final_norm/scale": ARRAYS["a/kernel"]}
    write_flat_orbax(tmp_path / "gemma", arrays)
    assert_same(read_all(OrbaxSource(tmp_path / "gemma")), arrays)


def test_orbax_in_groups(tmp_path, monkeypatch):
    """Each leaf is larger than a group: as many reads as leaves, in the order asked for."""
    monkeypatch.setattr("pistar_vf.weights.sources._GROUP_BYTES", 1)
    arrays = {f"transformer/layer_{i}/w": np.full((2, 2), i, np.float32) for i in range(4)}
    write_flat_orbax(tmp_path / "gemma", arrays)
    order = ["transformer/layer_2/w", "transformer/layer_0/w", "transformer/layer_3/w"]
    assert [leaf[0, 0] for leaf in OrbaxSource(tmp_path / "gemma").read(order)] == [2, 0, 3]
