"""A server that robot clients can ask for values, over openpi's websocket protocol.

A client connects, gets the server's metadata, and from then on one reply for each message. Requests of several clients
that arrive together are computed as one batch. A client that sends faster than the model computes gets the value of its
newest frame; the frames that this one overtook are answered as superseded, in their turn. So at most one request per
client waits, and memory does not grow with the rate.
"""

import asyncio
import dataclasses
import http
import logging
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from pistar_vf.batch import Observation
from pistar_vf.errors import ConfigError, MessageError, PistarError
from pistar_vf.inference.predictor import ValuePredictor
from pistar_vf.serving.monitor import Alarm, AlarmRule, success_probability
from pistar_vf.serving.wire import pack, unpack

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """Where the server listens and what it promises.

    Attributes:
        host: address; the loopback by default, so that nobody else on the network can ask.
        port: 0 takes a free one.
        deadline_seconds: a reply that takes longer says that it is late.
        max_batch: requests that are computed together.
        max_message_bytes: a larger message closes the connection.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    deadline_seconds: float = 0.2
    max_batch: int = 8
    max_message_bytes: int = 64 * 2**20

    def __post_init__(self) -> None:
        if self.max_batch < 1:
            raise ConfigError(f"--max_batch: expected at least 1, got {self.max_batch}")
        if not self.deadline_seconds > 0:
            raise ConfigError(f"--deadline_seconds: expected more than 0, got {self.deadline_seconds}")


@dataclasses.dataclass
class _Pending:
    """A request that waits for the model."""

    observation: Observation
    since: float
    reply: asyncio.Future


class ValueServer:
    """Answers observations with values.

    Args:
        predictor: from `load_value_model`.
        settings: where and how.
        rule: of the alarm, which every connection has for itself.
    """

    def __init__(self, predictor: ValuePredictor, settings: ServerSettings, rule: AlarmRule | None = None):
        self._predictor, self._settings, self._rule = predictor, settings, rule or AlarmRule()
        self._waiting: dict[int, _Pending] = {}
        self._arrived = asyncio.Event()
        self._model = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.port = settings.port

    @property
    def metadata(self) -> dict[str, Any]:
        """What a client is told when it connects."""
        spec = self._predictor.spec
        return {
            "server": "pistar_vf",
            "cameras": {name: key for name, key in spec.camera_keys.items() if key is not None},
            "state_key": None if spec.state is None else spec.state.key,
            "state_dim": 0 if spec.state is None else spec.state.dim,
            "deadline_ms": self._settings.deadline_seconds * 1e3,
        }

    async def run(self, ready: asyncio.Event | None = None) -> None:
        """Serves until it is cancelled.

        Args:
            ready: set as soon as clients can connect; `port` then holds the real port.

        Raises:
            OSError: the address is taken.
        """
        settings = self._settings
        self._warm_up()
        batches = asyncio.create_task(self._compute_batches())
        try:
            async with serve(
                self._serve_client,
                settings.host,
                settings.port,
                compression=None,
                max_size=settings.max_message_bytes,
                process_request=_answer_health,
            ) as server:
                self.port = server.sockets[0].getsockname()[1]
                _log.info("serving values at ws://%s:%d (health: /healthz)", settings.host, self.port)
                if ready is not None:
                    ready.set()
                await asyncio.gather(batches, server.serve_forever())
        finally:
            batches.cancel()
            self._model.shutdown(wait=False, cancel_futures=True)

    def _warm_up(self) -> None:
        """Compiles for one client and for several, so that nobody's first frame waits for it."""
        spec = self._predictor.spec
        side = spec.model.siglip.image_size
        images = {name: np.zeros((side, side, 3), np.uint8) for name in spec.camera_keys}
        state = None if spec.state is None else np.zeros(spec.state.dim, np.float32)
        blank = self._predictor.observation(images, state, (*spec.prompts, "warm up")[0])
        for count in {1, min(2, self._settings.max_batch)}:
            self._predict([blank] * count)

    async def _serve_client(self, connection: ServerConnection) -> None:
        replies: asyncio.Queue[asyncio.Future] = asyncio.Queue(maxsize=64)
        try:
            await connection.send(pack(self.metadata))
            # Who sends without reading fills the queue; once he is gone nobody empties it, so his end ends all three.
            await _until_one_ends(
                self._receive_all(connection, replies),
                _send_in_order(connection, replies),
                connection.wait_closed(),
            )
        except ConnectionClosedOK:
            pass  # the client is gone; so are its questions
        except ConnectionClosedError as error:  # it broke off, or a message was too large
            _log.warning("lost the client at %s:%d: %s", *connection.remote_address[:2], error)
        finally:
            self._waiting.pop(id(connection), None)

    async def _receive_all(self, connection: ServerConnection, replies: asyncio.Queue[asyncio.Future]) -> None:
        alarm = Alarm(self._rule)
        async for message in connection:
            if isinstance(message, bytes):
                await replies.put(self._receive(id(connection), message, alarm))
            else:
                await replies.put(_answered("expected a binary msgpack message, got text"))

    def _receive(self, client: int, message: bytes, alarm: Alarm) -> asyncio.Future:
        """The reply to come. What is wrong with a message is its reply, and the connection goes on."""
        since = time.monotonic()
        try:
            observation = self._read(unpack(message))
        except PistarError as error:
            return _answered(f"error: {error}")
        reply: asyncio.Future = asyncio.get_running_loop().create_future()
        overtaken = self._waiting.get(client)  # and its turn among the clients is kept
        if overtaken is not None:
            overtaken.reply.set_result({"superseded": True})
        self._waiting[client] = _Pending(observation, since, reply)
        self._arrived.set()
        return _mapped(reply, lambda numbers: self._describe(numbers, since, alarm))

    def _read(self, content: Any) -> Observation:
        """openpi's observation, flat (`observation.images.front`, …) or with `images`, `state` and `prompt`."""
        if not isinstance(content, Mapping):
            raise MessageError(f"expected an observation as a dict, got {type(content).__name__}")
        spec = self._predictor.spec
        images = content.get("images", content)
        if not isinstance(images, Mapping):
            raise MessageError(f"'images': expected a dict of pictures, got {type(images).__name__}")
        known = {name for pair in spec.camera_keys.items() for name in pair if name is not None}
        given = {name: pixels for name, pixels in images.items() if name in known}
        given |= {name: None for name, key in spec.camera_keys.items() if key is None}
        prompt = content.get("prompt")
        if not isinstance(prompt, str):
            raise MessageError(f"'prompt': expected a text, got {type(prompt).__name__}")
        state = content.get("state")
        if state is None and spec.state is not None:
            state = content.get(spec.state.key)
        try:
            observation = self._predictor.observation(given, state, prompt)
        except (TypeError, ValueError) as error:
            raise MessageError(str(error)) from error
        # Several would move the values of the other clients in the batch.
        if (count := len(observation.tokenized_prompt)) != 1:
            raise MessageError(f"expected one observation in a message, got {count}")
        return observation

    async def _compute_batches(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            clients = list(self._waiting)[: self._settings.max_batch]
            batch = [self._waiting.pop(client) for client in clients]
            if not self._waiting:
                self._arrived.clear()
            if not batch:
                continue
            try:
                numbers = await loop.run_in_executor(self._model, self._predict, [own.observation for own in batch])
            except Exception as error:
                _log.exception("the model failed on a batch of %d", len(batch))
                numbers = [{"error": f"the model failed: {error}"}] * len(batch)
            for own, reply in zip(batch, numbers):
                if not own.reply.done():
                    own.reply.set_result(reply)

    def _predict(self, observations: list[Observation]) -> list[dict[str, Any]]:
        """Values of several clients' frames as one batch of a fixed size, so that nothing recompiles."""
        started = time.monotonic()
        size = 1 if len(observations) == 1 else self._settings.max_batch
        padded = [*observations, *[observations[-1]] * (size - len(observations))]
        joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *padded)
        prediction = self._predictor.predict_observation(joined)
        done = success_probability(prediction)
        seconds = time.monotonic() - started
        return [
            {"value": float(v), "std": float(s), "success_probability": float(p), "infer_ms": seconds * 1e3}
            for v, s, p in zip(prediction.value[: len(observations)], prediction.std, done)
        ]

    def _describe(self, numbers: dict[str, Any], since: float, alarm: Alarm) -> dict[str, Any] | str:
        """The reply as it is sent."""
        if "error" in numbers:
            return f"error: {numbers['error']}"
        if "superseded" in numbers:
            return numbers
        total = time.monotonic() - since
        timing = {"infer_ms": numbers["infer_ms"], "total_ms": total * 1e3}
        own = {name: value for name, value in numbers.items() if name != "infer_ms"}
        late = total > self._settings.deadline_seconds
        return {**own, "alarm": alarm.update(numbers["value"]), "late": late, "server_timing": timing}


def _answered(reply: Any) -> asyncio.Future:
    future = asyncio.get_running_loop().create_future()
    future.set_result(reply)
    return future


def _mapped(future: asyncio.Future, function: Any) -> asyncio.Future:
    """A future of the function's result."""
    mapped = asyncio.get_running_loop().create_future()

    def finish(done: asyncio.Future) -> None:
        if not mapped.done() and not done.cancelled():
            mapped.set_result(function(done.result()))

    future.add_done_callback(finish)
    return mapped


async def _until_one_ends(*parts: Coroutine[Any, Any, None]) -> None:
    """Runs all until one of them returns or raises, which is then raised here; the others are cancelled."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send_in_order(connection: ServerConnection, replies: asyncio.Queue) -> None:
    """Every reply when it is there, in the order of the messages; texts are errors, as openpi's client expects."""
    while True:
        reply = await (await replies.get())
        await connection.send(reply if isinstance(reply, str) else pack(reply))


def _answer_health(connection: ServerConnection, request: HttpRequest) -> Response | None:
    return connection.respond(http.HTTPStatus.OK, "OK\n") if request.path == "/healthz" else None
