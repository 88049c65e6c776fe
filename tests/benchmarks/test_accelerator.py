"""Part `accelerator` of benchmarks/performance.py at a tiny size: what is compiled, journalled and made a record."""

import json
import time

import jax
import jaxtyping
import numpy as np
import pytest
from speed import accelerator, counts, journal
from speed.device_cases import Case, config
from speed.device_ours import Ours
from speed.full_model import device_params
from speed.journal import Journal
from speed.variants import Variant, fused_attention

from pistar_vf.params import flatten

LATER = 1e12


def test_a_failure_is_a_line_and_the_rest_goes_on(tmp_path):
    own = Journal(tmp_path / "a.jsonl", LATER)

    def fails():
        raise MemoryError("80 GiB")

    assert own.run("large", fails) is None
    assert own.run("small", lambda: {"seconds": 2.0})["seconds"] == 2.0
    found = journal.read(own.path)
    assert found["large"] == {"error": "MemoryError: 80 GiB"}
    assert found["small"]["seconds"] == 2.0
    own.run("large", lambda: {"seconds": 3.0})
    own.write("small", {"error": "no time left"})
    assert [journal.read(own.path)[name]["seconds"] for name in ("large", "small")] == [3.0, 2.0]


def test_nothing_is_started_after_the_deadline(tmp_path):
    own = Journal(tmp_path / "a.jsonl", time.time() - 1)
    assert own.run("late", lambda: pytest.fail("was started")) is None
    assert journal.read(own.path)["late"] == {"error": "no time left"}
    assert journal.read(tmp_path / "nothing.jsonl") == {}


@pytest.fixture
def unchecked():
    """A compiled program's arguments are described by trees of no arrays, which the tests' type checks refuse."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("case", [Case(2), Case(2, "all_backbones", "pooled tokens")])
def test_a_case_is_compiled_and_timed(tmp_path, case, monkeypatch):
    monkeypatch.setattr(journal, "_LEAST_SECONDS", 0.0)
    ours = Ours("tiny", Journal(tmp_path / "ours.jsonl", LATER))
    ours.wave([(case, Variant()), (case, Variant("cudnn", "all"))])
    found = journal.read(tmp_path / "ours.jsonl")
    assert set(found) == {case.name, f"{case.name}, cudnn, keeps all"}
    own = found[case.name]
    assert own["samples_per_second"] == pytest.approx(2 / own["seconds"])
    model = config("tiny", **case.fields)
    assert case.operations(model) == pytest.approx(own["tflops"] * own["seconds"] * 1e12)
    rates = {name: about["samples_per_second"] for name, about in found.items()}
    assert f"{case.name}{ours.fastest(case)}" == max(rates, key=rates.get)
    ours.wave([(case, Variant())])
    assert len((tmp_path / "ours.jsonl").read_text().splitlines()) == 2  # known already


def test_what_does_not_compile_is_said(tmp_path):
    """A batch without frames has no mean."""
    ours = Ours("tiny", Journal(tmp_path / "ours.jsonl", LATER))
    ours.wave([(Case(-1), Variant())])
    assert "error" in journal.read(tmp_path / "ours.jsonl")["values -1"]
    assert ours.fastest(Case(-1)) == Variant()


def test_operations_are_those_of_the_counts():
    model = config("full")
    assert Case(4, "none").operations(model) == 4 * counts.step(model, "none")
    assert Case(4).operations(model) == 4 * sum(counts.forward(model).values())
    assert Case(4, "all_backbones", "hidden").operations(model) is None


def test_weights_of_the_device_are_spread_as_those_of_the_host():
    shapes = flatten(Ours("tiny", Journal(None, LATER)).model(Case(2), Variant()).shapes())
    params = device_params(shapes)
    assert {n: (p.shape, p.dtype) for n, p in params.items()} == {n: (s.shape, s.dtype) for n, s in shapes.items()}
    drawn = np.concatenate([np.ravel(p) for n, p in params.items() if not n.endswith(("bias", "scale"))])
    assert [drawn.mean(), drawn.std()] == pytest.approx([0.0, 0.02], abs=1e-4)
    assert np.all(params["img/Transformer/encoder_norm/scale"] == 1)
    assert np.all(params["llm/final_norm/scale"] == 0)


def test_fused_attention_pads_to_what_the_kernel_takes_and_hides_it(monkeypatch):
    """On this machine there is no cuDNN: its arguments are computed by XLA, which knows no padding."""
    shapes, attend = [], jax.nn.dot_product_attention

    def by_xla(query, key, value, *, mask=None, implementation=None):
        shapes.append((query.shape[1], key.shape[1], implementation))
        return attend(query, key, value, mask=mask)

    monkeypatch.setattr("speed.variants._own_attention", by_xla)
    keys = jax.random.split(jax.random.key(0), 3)
    query, key, value = (jax.random.normal(k, (2, 133, 2, 8), jax.numpy.bfloat16) for k in keys)
    valid = jax.numpy.asarray(np.arange(133)[None] < np.array([[133], [70]]))
    mask = valid[:, None, None, :]
    found = fused_attention(query, key, value, mask=mask)
    expected = attend(query, key, value, mask=mask)
    # To a step of bfloat16: sums over more numbers may be taken in another order.
    np.testing.assert_allclose(*(x.astype(jax.numpy.float32) for x in (found, expected)), rtol=2**-7, atol=2**-12)
    fused_attention(query, key, value)
    fused_attention(query[:, :50], key, value)
    assert shapes == [(136, 136, "cudnn"), (133, 133, "cudnn"), (50, 133, None)]


def test_a_variant_attends_in_its_own_way_only(monkeypatch):
    """The library asks for cuDNN by name; a variant of XLA's does not hear it, and leaves no trace behind."""
    asked, own = [], jax.nn.dot_product_attention
    monkeypatch.setattr("speed.variants._own_attention", lambda *arrays, **options: asked.append(options))
    with Variant("xla").traced():
        jax.nn.dot_product_attention(1, 2, 3, implementation="cudnn")
    assert asked == [{"mask": None}]
    assert jax.nn.dot_product_attention is own


def test_the_record_has_ratios_of_the_best(tmp_path):
    lines = {
        "ours": [
            {"name": "peaks", "matmul_tflops": 500.0},
            {"name": "none 3", "seconds": 2.0, "samples_per_second": 10.0, "tflops": 100.0},
            {"name": "none 3, cudnn", "seconds": 1.0, "samples_per_second": 20.0, "tflops": 200.0},
            {"name": "none 4", "error": "MemoryError"},
        ],
        "torch": [{"name": "none 3", "seconds": 4.0, "samples_per_second": 5.0, "tflops": 50.0}],
    }
    for side, own in lines.items():
        (tmp_path / f"{side}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in own))
    found = accelerator.measure(0, tmp_path, "tiny", ["ours", "torch"])
    assert found["over_torch"] == {"none 3": 4.0}
    best = found["best"]["none 3"]
    assert (best["variant"], best["of_measured_peak"]) == ("cudnn", 0.4)
    assert best["of_datasheet"] == pytest.approx(200 / 989)
    assert found["best"]["none 4"] is None
    assert found["ours"]["none 4"] == {"error": "MemoryError"}
