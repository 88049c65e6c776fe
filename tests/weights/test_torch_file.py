"""Torch's files without torch: every byte of the pickles below is written by hand, after torch's serialisation."""

import pickle
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.weight_layouts import assert_bitwise, bf16_params, load, write_layout

from pistar_vf.errors import CheckpointError
from pistar_vf.weights.projector import load_projector, write_projector
from pistar_vf.weights.sources import SafetensorsSource
from pistar_vf.weights.torch_file import TorchSource, write_torch_file

ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def text(value):
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def small(*numbers):
    return b"(" + b"".join(b"K" + bytes([number]) for number in numbers) + b"t"


def tensor(key, shape, strides, *, offset=0, storage="FloatStorage", count=12):
    """`torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, False, OrderedDict())`."""
    where = b"(" + text("storage") + f"ctorch\n{storage}\n".encode() + text(key) + text("cpu")
    where += b"K" + bytes([count]) + b"tQ"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + where + b"K" + bytes([offset])
    return call + small(*shape) + small(*strides) + b"\x89" + ORDERED_DICT + b"tR"


def state_dict(**tensors):
    return b"\x80\x02" + ORDERED_DICT + b"(" + b"".join(text(k) + v for k, v in tensors.items()) + b"u"


def write(path, program, storages=(), **members):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", program)
        for key, data in enumerate(storages):
            file.writestr(f"archive/data/{key}", np.asarray(data).tobytes())
        for name, data in members.items():
            file.writestr(f"archive/{name}", data)
    return path


def leaves(path):
    source = TorchSource(path)
    return dict(zip(source.leaves, source.read(list(source.leaves)), strict=True))


NUMBERS = np.arange(12, dtype=np.float32)


def test_tensors_are_rebuilt_from_storage_offset_and_strides(tmp_path):
    program = state_dict(
        plain=tensor("0", (3, 4), (4, 1)),
        transposed=tensor("0", (4, 3), (1, 4)),
        part=tensor("0", (2, 2), (4, 1), offset=5),
        scalar=tensor("0", (), (), offset=7),
        none=tensor("0", (0, 4), (4, 1)),
    )
    metadata = b"}(" + text("_metadata") + ORDERED_DICT + b"ub"
    found = leaves(write(tmp_path / "a.pt", program + metadata + b".", [NUMBERS], byteorder="little"))
    np.testing.assert_array_equal(found["plain"], NUMBERS.reshape(3, 4))
    np.testing.assert_array_equal(found["transposed"], NUMBERS.reshape(3, 4).T)
    np.testing.assert_array_equal(found["part"], [[5, 6], [9, 10]])
    assert found["scalar"] == 7
    assert found["none"].shape == (0, 4)


def test_every_kind_of_number(tmp_path):
    kinds = {
        "DoubleStorage": np.float64,
        "HalfStorage": np.float16,
        "BFloat16Storage": jnp.bfloat16,
        "LongStorage": np.int64,
        "IntStorage": np.int32,
        "ByteStorage": np.uint8,
        "BoolStorage": np.bool_,
    }
    parts = {kind: tensor(str(i), (2,), (1,), storage=kind, count=2) for i, kind in enumerate(kinds)}
    path = write(tmp_path / "a.pt", state_dict(**parts) + b".", [np.asarray([0, 1], kind) for kind in kinds.values()])
    for kind, found in leaves(path).items():
        assert found.dtype == kinds[kind]
        assert found.tolist() == [0, 1]


def test_dicts_inside_dicts_and_parameters(tmp_path):
    """What a training script saves: {"epoch": 3, "model": OrderedDict(weight=Parameter)}, with a reference to a key."""
    parameter = (
        b"ctorch._utils\n_rebuild_parameter\n(" + tensor("0", (2,), (1,), count=2) + b"\x88" + ORDERED_DICT + b"tR"
    )
    inner = ORDERED_DICT + text("weight") + b"q\x05" + parameter + b"s"
    program = b"\x80\x02}(" + text("epoch") + b"K\x03" + text("lr") + b"G" + bytes(8) + text("model") + inner
    program += text("names") + b"](h\x05Ne" + b"u."
    assert list(leaves(write(tmp_path / "a.pt", program, [NUMBERS[:2]]))) == ["model.weight"]


def test_nothing_in_a_file_is_run(tmp_path):
    marker = tmp_path / "executed"

    class Evil:
        def __reduce__(self):
            return open, (str(marker), "w")

    for protocol in (2, 4):
        path = write(tmp_path / "a.pt", pickle.dumps({"weight": Evil()}, protocol))
        with pytest.raises(
            CheckpointError, match=r"expected a state dict .*, found a call of _?io\.open, which is not run"
        ):
            TorchSource(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("program", "error"),
    [
        (b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00lstR.", r"found a call of os\.system, which is not run here"),
        (b"\x80\x02(X\x02\x00\x00\x00lsios\nsystem\n.", r"found the instruction INST"),
        (b"\x80\x02cargparse\nNamespace\n)\x81.", r"found the instruction NEWOBJ"),
        (b"\x80\x02K\x01)R.", r"found a call of what is no function"),
        (b"\x80\x02ccollections\nOrderedDict\n}b.", r"found attributes set on"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01K\x02s.", r"found items set on"),
        (b"\x80\x02(X\x03\x00\x00\x00mapK\x01K\x01tQ.", r"found a persistent object of the kind 'map'"),
        (b"\x80\x02(X\x03\x00", r"the list of its tensors is damaged"),
        (b"\x80\x02u.", r"the list of its tensors is damaged"),
        (
            state_dict(a=tensor("0", (2,), (1,), storage="QInt8Storage")) + b".",
            r"a: expected one of Dou.*got torch QInt",
        ),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path, program, error):
    with pytest.raises(CheckpointError, match=error):
        TorchSource(write(tmp_path / "a.pt", program, [NUMBERS]))


@pytest.mark.parametrize(
    "wrong", [tensor("0", (4, 4), (4, 1)), tensor("0", (2, 9), (1, 0)), tensor("0", (3, 4), (4, 1), offset=1)]
)
def test_a_tensor_beyond_its_numbers_is_refused(tmp_path, wrong):
    with pytest.raises(CheckpointError, match=r"a: expected 1[3-8] numbers in its storage, got 12; download it again"):
        leaves(write(tmp_path / "a.pt", state_dict(a=wrong) + b".", [NUMBERS]))


def test_damaged_files_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"a: its numbers are damaged: .*archive/data/0"):
        leaves(write(tmp_path / "a.pt", state_dict(a=tensor("0", (3, 4), (4, 1))) + b"."))
    with pytest.raises(CheckpointError, match=r"expected little-endian numbers"):
        TorchSource(write(tmp_path / "a.pt", b"\x80\x02}.", byteorder="big"))
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as file:
        file.writestr("hello", "")
    with pytest.raises(CheckpointError, match=r"expected data\.pkl inside"):
        TorchSource(tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match=r"expected a torch file, could not read it: .*No such file"):
        TorchSource(tmp_path / "c.pt")


@pytest.mark.parametrize(
    ("start", "what"), [(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "the format before it"), (b"#", "some")]
)
def test_the_format_before_the_zip_is_named(tmp_path, start, what):
    (tmp_path / "old.pt").write_bytes(start)
    with pytest.raises(CheckpointError, match=rf"of torch 1\.6 or newer .*, got {what}.*torch\.save\(torch\.load"):
        TorchSource(tmp_path / "old.pt")


# --- whole models ----------------------------------------------------------------------------------------------


def test_the_towers_of_hugging_face_in_torch_files(tmp_path):
    """`pytorch_model.bin` in place of `model.safetensors`, and the same alone."""
    params = bf16_params()
    folders = write_layout("huggingface", tmp_path / "hf", params)
    expected = load(folders)
    for folder in folders:
        source = SafetensorsSource(folder)
        arrays = dict(zip(source.leaves, source.read(list(source.leaves)), strict=True))
        write_torch_file(folder / "pytorch_model.bin", arrays)
        (folder / "model.safetensors").unlink()
    assert_bitwise(load(folders), expected)
    assert_bitwise(load([folder / "pytorch_model.bin" for folder in folders]), expected)


def test_a_value_model_in_a_torch_file(tmp_path):
    params = bf16_params()
    write_torch_file(tmp_path / "model.pth", params)
    assert_bitwise(load([tmp_path / "model.pth"]), params)


# --- the projector ---------------------------------------------------------------------------------------------

MLP = {
    "img_projection/linear1/kernel": (4, 4),
    "img_projection/linear1/bias": (4,),
    "img_projection/linear2/kernel": (4, 3),
    "img_projection/linear2/bias": (3,),
}
WANTED = {
    name: jax.ShapeDtypeStruct(shape, np.float32, sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0]))
    for name, shape in {**MLP, "value_head/bias": (5,)}.items()
}


def random_mlp():
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in MLP.items()}


@pytest.mark.parametrize("prefix", ["", "projector.", "model.multi_modal_projector.net."])
def test_a_projector_of_torch_is_the_transposed_of_ours(tmp_path, prefix):
    ours = random_mlp()
    theirs = {
        "0.weight": ours["img_projection/linear1/kernel"].T,
        "0.bias": ours["img_projection/linear1/bias"],
        "2.weight": ours["img_projection/linear2/kernel"].T,
        "2.bias": ours["img_projection/linear2/bias"],
    }
    other = {"value_head.weight": np.zeros((5, 3), np.float32)} if prefix else {}
    write_torch_file(tmp_path / "p.pt", {prefix + name: leaf for name, leaf in theirs.items()} | other)
    found = load_projector(tmp_path / "p.pt", WANTED)
    assert found.keys() == ours.keys()
    for name, leaf in ours.items():
        np.testing.assert_array_equal(found[name], leaf)


def test_both_files_of_a_projector_hold_the_same(tmp_path):
    ours = random_mlp()
    write_projector(tmp_path / "best.safetensors", {**ours, "value_head/bias": np.ones(5)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "best.safetensors"]
    for name in ("best.pt", "best.safetensors"):
        found = load_projector(tmp_path / name, WANTED)
        assert {key: np.asarray(leaf).tolist() for key, leaf in found.items()} == {
            k: v.tolist() for k, v in ours.items()
        }
    assert set(SafetensorsSource(tmp_path / "best.safetensors").leaves) == set(MLP)
    linear = {"img_projection/kernel": np.ones((4, 3), np.float32), "img_projection/bias": np.ones(3, np.float32)}
    write_projector(tmp_path / "linear.safetensors", linear)
    assert {name: leaf.shape for name, leaf in leaves(tmp_path / "linear.pt").items()} == {
        "0.weight": (3, 4),
        "0.bias": (3,),
    }


def test_another_projector_of_torch_is_refused_leaf_by_leaf(tmp_path):
    write_torch_file(
        tmp_path / "p.pt", {"fc.weight": np.zeros((4, 3), np.float32), "fc.scale": np.zeros(3, np.float32)}
    )
    with pytest.raises(CheckpointError) as error:
        load_projector(tmp_path / "p.pt", WANTED)
    assert str(error.value).splitlines()[1:-1] == [
        "  − fc.bias (4,)",
        "  − layer1.weight (3, 4)",
        "  − layer1.bias (3,)",
        "  + fc.scale (3,)",
        "  ≠ fc.weight: expected (4, 4), got (4, 3)",
    ]


def test_torch_reads_what_is_written_and_the_other_way_round(tmp_path):
    torch = pytest.importorskip("torch", reason="the reference implementations need torch (CPU) and transformers")
    ours = random_mlp()
    write_projector(tmp_path / "best.safetensors", ours)
    module = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.GELU(), torch.nn.Linear(4, 3))
    module.load_state_dict(torch.load(tmp_path / "best.pt", weights_only=True))
    images = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)
    np.testing.assert_array_equal(module[2].weight.detach().numpy(), ours["img_projection/linear2/kernel"].T)
    expected = images @ ours["img_projection/linear1/kernel"] + ours["img_projection/linear1/bias"]
    np.testing.assert_allclose(module[0](torch.from_numpy(images)).detach().numpy(), expected, rtol=1e-5)
    whole = {"epoch": 3, "projector": module.state_dict(), "half": torch.arange(6).reshape(2, 3).T.bfloat16()}
    torch.save(whole, tmp_path / "theirs.pt")
    found = load_projector(tmp_path / "theirs.pt", WANTED)
    assert all(np.array_equal(found[name], leaf) for name, leaf in ours.items())
    assert leaves(tmp_path / "theirs.pt")["half"].tolist() == [[0, 3], [1, 4], [2, 5]]
    torch.save(whole, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="got the format before it"):
        TorchSource(tmp_path / "old.pt")
