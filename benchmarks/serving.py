"""How much a value server holds: requests per second, their latency, the server's memory, and broken messages.

    python benchmarks/serving.py --record
    python benchmarks/serving.py --checkpoint checkpoints/vials --clients 8 --rate 100 --seconds 60

Every client asks at a fixed rate, each time with new pictures. At the end one client sends a thousand messages, half of
them random bytes and half damaged observations, and asks once more. Without --checkpoint, a model of the preset `tiny`
is made first: how long an answer takes does not depend on what it learned.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from recording import record
from websockets.sync.client import connect

from pistar_vf.checkpoints.layout import find_checkpoint
from pistar_vf.checkpoints.value_spec import load_value_spec
from pistar_vf.serving.wire import pack, unpack
from pistar_vf.testing.demo_dataset import write_demo_dataset

_START = "import sys; from pistar_vf.cli.main import main; sys.exit(main(sys.argv[1:]))"
_NUM_MALFORMED = 1_000
Reply = tuple[float, float, bool, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--prompt", default="put the red block into the left bin")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=float, default=110.0, help="requests per second, all clients together")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        args.checkpoint = args.checkpoint or _tiny_run(Path(folder))
        figures = _serve_and_measure(args)
    print(json.dumps(figures, indent=2))
    if args.record:
        record("serving", figures)


def _tiny_run(folder: Path) -> Path:
    write_demo_dataset(folder / "raw", num_episodes=4, image_size=56)
    flags = ["--outcome_column", "outcome", "--timeout_as", "failure"]
    _pistar_vf("label", "--data_dir", f"{folder}/raw", "--output_dir", f"{folder}/labelled", *flags)
    small = ["--preset", "tiny", "--num_train_steps", "2", "--val_interval", "0", "--cache_dir", f"{folder}/cache"]
    _pistar_vf("train", "--data_dir", f"{folder}/labelled", "--checkpoint_dir", f"{folder}/run", *small)
    return folder / "run"


def _pistar_vf(*words: str) -> None:
    subprocess.run([sys.executable, "-c", _START, *words], check=True)


def _serve_and_measure(args: argparse.Namespace) -> dict:
    words = [sys.executable, "-c", _START, "serve", "--checkpoint", str(args.checkpoint), "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server:
        try:
            return _measure(args, _port_of(server), server.pid)
        finally:
            server.terminate()


def _port_of(server: subprocess.Popen) -> int:
    for line in server.stderr:
        if found := re.search(r"ws://127\.0\.0\.1:(\d+)", line):
            threading.Thread(target=server.stderr.read, daemon=True).start()
            return int(found[1])
    raise SystemExit("the server did not start")


def _measure(args: argparse.Namespace, port: int, pid: int) -> dict:
    spec = load_value_spec(find_checkpoint(args.checkpoint))
    load, memory, replies = os.getloadavg()[0], [_memory_mib(pid)], []
    threads = [
        threading.Thread(target=_ask, args=(port, spec, args, number, replies)) for number in range(args.clients)
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(1.0)
        memory.append(_memory_mib(pid))
    for thread in threads:
        thread.join()
    seconds = max(own[3] for own in replies) - started
    seen, inside = (1e3 * np.array([own[i] for own in replies]) for i in (0, 1))
    deadline = _metadata(port)["deadline_ms"]
    late = np.array([own[2] for own in replies])
    return {
        "clients": args.clients,
        "requests": len(replies),
        "requests_per_second": len(replies) / seconds,
        "deadline_ms": deadline,
        "latency_ms": {f"p{q}": float(np.percentile(seen, q)) for q in (50, 95, 99, 100)},
        "within_deadline": float(np.mean(seen <= deadline)),
        "late_and_said": int(np.sum(late)),
        "late_and_not_said": int(np.sum(~late & (inside > deadline))),
        "memory_mib": {"before": memory[0], "after_10_s": memory[min(10, len(memory) - 1)], "end": memory[-1]},
        "malformed": _break(port, spec, args),
        "load_before": load,
    }


def _metadata(port: int) -> dict:
    with connect(f"ws://127.0.0.1:{port}", compression=None, max_size=None) as connection:
        return unpack(connection.recv())


def _observation(spec, prompt: str, rng: np.random.Generator) -> bytes:
    pictures = {key: rng.integers(0, 256, (96, 96, 3), np.uint8) for key in spec.camera_keys.values() if key}
    state = {} if spec.state is None else {spec.state.key: rng.normal(size=spec.state.dim).astype(np.float32)}
    return pack({**pictures, **state, "prompt": prompt})


def _ask(
    port: int, spec, args: argparse.Namespace, number: int, replies: list[tuple[float, float, bool, float]]
) -> None:
    """Adds (seconds until the reply, seconds that the server says it took, whether it says that it is late, when)."""
    rng = np.random.default_rng(number)
    interval = args.clients / args.rate
    with connect(f"ws://127.0.0.1:{port}", compression=None, max_size=None) as connection:
        connection.recv()
        due = time.perf_counter() + interval * number / args.clients
        end = due + args.seconds
        while due < end:
            time.sleep(max(0.0, due - time.perf_counter()))
            message = _observation(spec, args.prompt, rng)
            sent = time.perf_counter()
            connection.send(message)
            reply = unpack(connection.recv())
            inside = reply["server_timing"]["total_ms"] / 1e3
            now = time.perf_counter()
            replies.append((now - sent, inside, reply["late"], now))
            due += interval


def _break(port: int, spec, args: argparse.Namespace) -> dict:
    rng = random.Random(0)
    errors, good = 0, _observation(spec, args.prompt, np.random.default_rng(0))
    with connect(f"ws://127.0.0.1:{port}", compression=None, max_size=None) as connection:
        connection.recv()
        for number in range(_NUM_MALFORMED):
            connection.send(_malformed(good, number, rng))
            errors += isinstance(connection.recv(), str)
        connection.send(good)
        afterwards = "value" in unpack(connection.recv())
    return {"sent": _NUM_MALFORMED, "error_replies": errors, "answers_afterwards": int(afterwards)}


def _malformed(good: bytes, number: int, rng: random.Random) -> bytes:
    """Random bytes, or an observation cut short with bytes changed near its start, where the keys are."""
    if number % 2:
        return rng.randbytes(rng.randint(1, 2_000))
    damaged = bytearray(good[: rng.randint(1, len(good) - 1)])
    for _ in range(rng.randint(0, 8)):
        damaged[rng.randrange(min(len(damaged), 200))] = rng.randrange(256)
    return bytes(damaged)


def _memory_mib(pid: int) -> float:
    """Resident memory of a process; Linux only."""
    text = Path(f"/proc/{pid}/status").read_text()
    return round(int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024, 1)


if __name__ == "__main__":
    main()
