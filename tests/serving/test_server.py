"""A server on the loopback, asked as openpi's client asks: metadata first, then one reply for each message."""

import asyncio
import contextlib
import http.client
import random
import re
import socket
import threading
import time

import numpy as np
import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from pistar_vf.cli import serve as command
from pistar_vf.errors import ConfigError
from pistar_vf.inference import predictor
from pistar_vf.inference.predictor import load_value_model
from pistar_vf.serving.server import ServerSettings, ValueServer
from pistar_vf.serving.wire import pack, unpack

PROMPT = "put the red block into the left bin"


@pytest.fixture(scope="module")
def model(trained_run):
    return load_value_model(trained_run.checkpoint)


@pytest.fixture(scope="module")
def server(model):
    """A running server; its port is free for this test."""
    own = ValueServer(model, ServerSettings(port=0, deadline_seconds=30.0, max_batch=4))
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), []

    async def run():
        flag = asyncio.Event()
        task = asyncio.create_task(own.run(flag))
        stop.append(task)
        await flag.wait()
        ready.set()
        await asyncio.gather(task, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    assert ready.wait(120), "the server did not start"
    yield own
    loop.call_soon_threadsafe(stop[0].cancel)
    thread.join(30)


def client(server):
    connection = connect(f"ws://127.0.0.1:{server.port}", compression=None, max_size=None)
    return connection, unpack(connection.recv())


def observation(model, seed=0, **changes):
    rng = np.random.default_rng(seed)
    names = [key for key in model.spec.camera_keys.values() if key is not None]
    images = {name: rng.integers(0, 256, (48, 48, 3), np.uint8) for name in names}
    state = rng.normal(size=model.spec.state.dim).astype(np.float32)
    return {**images, model.spec.state.key: state, "prompt": PROMPT, **changes}


def of_another_shape(own, shape):
    if isinstance(own, str) or (shape == "empty" and own.ndim == 1):
        return own
    return np.stack([own, own]) if shape == "twice" else own[:0, :5]


def ask(connection, content):
    connection.send(content if isinstance(content, bytes | str) else pack(content))
    reply = connection.recv(timeout=60)
    return reply if isinstance(reply, str) else unpack(reply)


def test_the_metadata_says_what_to_send(server, model):
    connection, metadata = client(server)
    with connection:
        assert metadata["state_dim"] == model.spec.state.dim
        assert set(metadata["cameras"].values()) == {key for key in model.spec.camera_keys.values() if key}
        assert metadata["deadline_ms"] == 30_000.0


def test_a_value_is_the_models(server, model):
    own = observation(model, seed=1)
    images = {key: own[key] for key in model.spec.camera_keys.values() if key is not None}
    direct = model.predict(images, own[model.spec.state.key], PROMPT)
    connection, _ = client(server)
    with connection:
        reply = ask(connection, own)
        nested = ask(connection, {"images": images, "state": own[model.spec.state.key], "prompt": PROMPT})
    assert reply["value"] == pytest.approx(float(direct.value[0]), abs=1e-5)
    assert nested["value"] == pytest.approx(reply["value"], abs=1e-6)
    assert reply["alarm"] is False
    assert reply["late"] is False
    assert reply["server_timing"]["total_ms"] >= reply["server_timing"]["infer_ms"] > 0


def test_several_clients_get_their_own_values(server, model):
    expected = {}
    for seed in range(6):
        own = observation(model, seed=seed)
        images = {key: own[key] for key in model.spec.camera_keys.values() if key is not None}
        expected[seed] = float(model.predict(images, own[model.spec.state.key], PROMPT).value[0])
    found = {}

    def work(seed):
        connection, _ = client(server)
        with connection:
            found[seed] = [ask(connection, observation(model, seed=seed))["value"] for _ in range(5)]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for seed, values in found.items():
        np.testing.assert_allclose(values, expected[seed], atol=1e-5)
    assert len(found) == 6


def test_the_newest_frame_overtakes_those_that_wait(server, model):
    connection, _ = client(server)
    with connection:
        for seed in range(20):
            connection.send(pack(observation(model, seed=seed)))
        replies = [unpack(connection.recv(timeout=60)) for _ in range(20)]
    assert sum("superseded" in reply for reply in replies) > 0
    assert "value" in replies[-1]
    assert all(("value" in reply) != ("superseded" in reply) for reply in replies)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"prompt": None}, "'prompt': expected a text, got NoneType"),
        ({"images": 3}, "'images': expected a dict of pictures, got int"),
        ({"images": {}}, "expected images of the cameras"),
        ({"prompt": "word " * 500}, "token"),
        # Two frames would hand the second one's value to the next client of the batch.
        ("twice", "expected one observation in a message, got 2"),
        ("empty", r"expected uint8 \[b, h, w, 3\] or \[h, w, 3\], got uint8 \(0, 5, 3\)"),
        ({"state": np.zeros(99, np.float32)}, r"state: expected shape \(1, \d+\), got \(1, 99\)"),
    ],
)
def test_a_bad_observation_is_answered_and_the_connection_goes_on(server, model, change, complaint):
    if isinstance(change, str):
        change = {name: of_another_shape(own, change) for name, own in observation(model).items()}
    connection, _ = client(server)
    with connection:
        reply = ask(connection, observation(model, **change))
        assert isinstance(reply, str), reply
        assert re.search(complaint, reply), reply
        assert "value" in ask(connection, observation(model))


def test_malformed_messages_never_kill_the_server(server, model):
    """200 here; benchmarks/serving.py sends a thousand."""
    rng = random.Random(0)
    connection, _ = client(server)
    with connection:
        for _ in range(200):
            assert isinstance(ask(connection, rng.randbytes(rng.randint(1, 200))), str)
        assert "binary" in ask(connection, "hello")
        assert isinstance(ask(connection, pack([1, 2])), str)
        assert "value" in ask(connection, observation(model))


@pytest.mark.parametrize("how", ["says goodbye", "breaks off", "sends too much"])
def test_a_lost_client_is_told_of(server, caplog, how):
    connection, _ = client(server)
    if how == "sends too much":
        with contextlib.suppress(ConnectionClosedError):
            connection.send(bytes(ServerSettings.max_message_bytes + 1))
    if how == "breaks off":
        connection.socket.shutdown(socket.SHUT_RDWR)
    else:
        connection.close()
    until = time.monotonic() + (0.5 if how == "says goodbye" else 20)
    said: list[str] = []
    while not said and time.monotonic() < until:
        time.sleep(0.02)
        said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == (how != "says goodbye")
    if said:
        code = {"breaks off": "no close frame", "sends too much": "1009"}[how]
        assert re.match(rf"lost the client at 127.0.0.1:\d+: .*{code}", said[0])


def test_a_client_that_leaves_with_a_full_queue_holds_nothing(model, monkeypatch):
    """Its replies wait behind one that the model computes; the server ends all the same."""
    own, go_on = ValueServer(model, ServerSettings(port=0, deadline_seconds=30.0)), threading.Event()
    message = pack(observation(model))

    async def run():
        ready = asyncio.Event()
        serving = asyncio.create_task(own.run(ready))
        await ready.wait()
        predict = own._predict
        monkeypatch.setattr(own, "_predict", lambda observations: go_on.wait(30) and predict(observations))
        connection = await connect_async(f"ws://127.0.0.1:{own.port}")
        await connection.send(message)
        for _ in range(200):
            await connection.send(b"no message")
        await asyncio.sleep(0.2)
        connection.transport.abort()
        go_on.set()
        await asyncio.sleep(0.5)
        serving.cancel()
        _, late = await asyncio.wait([serving], timeout=5)
        assert not late

    asyncio.run(run())


def test_nobody_is_warned_of_what_the_server_itself_asks(server, caplog, monkeypatch):
    monkeypatch.setattr(predictor, "_WARNED", set())
    with caplog.at_level("WARNING"):
        server._warm_up()
    assert not caplog.records


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_batch": 0}, "--max_batch: expected at least 1, got 0"),
        ({"deadline_seconds": 0.0}, "--deadline_seconds: expected more than 0, got 0.0"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        ServerSettings(**settings)


def test_health(server):
    request = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    request.request("GET", "/healthz")
    assert request.getresponse().status == 200


def test_an_address_that_is_taken(server, trained_run):
    words = ["--checkpoint", str(trained_run.checkpoint), "--port", str(server.port), "--host", "127.0.0.1"]
    words += ["--deadline_seconds", "1", "--max_batch", "1", "--alarm_drop", "0.3"]
    with pytest.raises(ConfigError, match=f"cannot listen at 127.0.0.1:{server.port}.*pass another --port"):
        command.main([*words, "--alarm_recovered", "0.1", "--alarm_frames", "3"])
