"""The mesh and the placements on eight forced CPU devices: what each device really holds."""

import json
import os
import re
import subprocess
import sys

import pytest
from support.places import SUPPORT

from pistar_vf.errors import ConfigError
from pistar_vf.sharding import check_batch_size, create_mesh


@pytest.fixture(scope="module")
def eight():
    """The output of on_eight_devices.py."""
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
    }
    script = SUPPORT / "on_eight_devices.py"
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_mesh_shapes(eight):
    assert eight["meshes"] == {
        "1": {"data": 8, "fsdp": 1},
        "2": {"data": 4, "fsdp": 2},
        "4": {"data": 2, "fsdp": 4},
        "8": {"data": 1, "fsdp": 8},
    }
    assert eight["three_of_devices"] == {"data": 2, "fsdp": 3}


def test_large_leaves_are_split_along_their_longest_divisible_axis(eight):
    """[shape on one device, number of different parts] with fsdp = 4."""
    assert eight["state"] == {
        "large": [[6, 512, 256], 4],
        "longest_not_divisible": [[1025, 256], 4],
        "nothing_divisible": [[1025, 1027], 1],
        "limit": [[2**16], 4],
        "below": [[2**18 - 4], 1],
        "scalar": [[], 1],
    }


def test_the_size_limit_can_be_lowered(eight):
    assert eight["small_limit"] == {"below": [[2**16 - 1], 4]}


def test_without_fsdp_every_device_holds_everything(eight):
    assert {parts for _, parts in eight["state_without_fsdp"].values()} == {1}
    assert eight["state_without_fsdp"]["large"] == [[6, 512, 1024], 1]


@pytest.mark.parametrize("mode", ["none", "all_backbones"])
def test_the_full_size_state_is_shared_out(eight, mode):
    """Parameters, averages and both moments: a device holds little more than its eighth."""
    own, total = eight["full_size"][mode]
    assert total > 4 * 683_210_809
    assert own <= 1.2 / 8 * total


def test_a_batch_is_split_over_all_devices_in_order(eight):
    assert eight["target"] == [[2 * device, 2 * device + 1] for device in range(8)]
    assert eight["batch"] == [[6 * device, 6 * device + 3] for device in range(8)]
    assert eight["total"] == sum(range(48))


def test_wrong_numbers_of_devices_are_refused(eight):
    for number in (3, 0, 16):
        expected = f"--fsdp_devices: expected a divisor of the number of devices (8), got {number}"
        assert eight["errors"][f"fsdp_{number}"] == expected


def test_wrong_batch_sizes_are_refused(eight):
    for number in (12, 0):
        expected = f"--batch_size: expected a multiple of the number of devices (8), got {number}; "
        assert eight["errors"][f"batch_{number}"].startswith(expected)
    assert eight["errors"]["batch_16"] is None


def test_refusals_are_config_errors_with_one_device_too():
    with pytest.raises(ConfigError, match=re.escape("expected a divisor of the number of devices (1), got 2")):
        create_mesh(2, create_mesh().devices.ravel().tolist()[:1])
    with pytest.raises(ConfigError, match="the batch size is global, all devices together"):
        check_batch_size(0, create_mesh())
