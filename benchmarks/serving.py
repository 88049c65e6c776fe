"""How much a value server holds: requests per second, their latency, the server's memory, and broken messages.

    python benchmarks/serving.py --checkpoint checkpoints/vials_tiny --clients 8 --rate 100 --seconds 60

Every client asks at a fixed rate, each time with new pictures. At the end one client sends a thousand messages of
random bytes and asks once more.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from websockets.sync.client import connect

from pistar_vf.checkpoints.manager import find_checkpoint
from pistar_vf.checkpoints.value_spec import load_value_spec
from pistar_vf.serving.wire import pack, unpack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--prompt", default="put the red block into the left bin")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second, all clients together")
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    words = ["-c", "from pistar_vf.cli.serve import main; main()", "--checkpoint", str(args.checkpoint), "--port", "0"]
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True) as server:
        try:
            port = _port_of(server)
            print(json.dumps(_measure(args, port, server.pid), indent=2))
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
    latencies: list[float] = []
    late: list[bool] = []
    before = _memory_mib(pid)
    threads = [
        threading.Thread(target=_ask, args=(port, spec, args, number, latencies, late))
        for number in range(args.clients)
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    milliseconds = np.array(latencies) * 1e3
    return {
        "clients": args.clients,
        "requests": len(latencies),
        "requests_per_second": round(len(latencies) / seconds, 1),
        "latency_ms": {f"p{q}": round(float(np.percentile(milliseconds, q)), 1) for q in (50, 95, 99, 100)},
        "late_replies": int(sum(late)),
        "memory_mib": {"before": before, "after": _memory_mib(pid)},
        "malformed": _break(port, spec, args),
    }


def _observation(spec, prompt: str, rng: np.random.Generator) -> bytes:
    pictures = {key: rng.integers(0, 256, (96, 96, 3), np.uint8) for key in spec.camera_keys.values() if key}
    state = {} if spec.state is None else {spec.state.key: rng.normal(size=spec.state.dim).astype(np.float32)}
    return pack({**pictures, **state, "prompt": prompt})


def _ask(port: int, spec, args: argparse.Namespace, number: int, latencies: list[float], late: list[bool]) -> None:
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
            latencies.append(time.perf_counter() - sent)
            late.append(reply["late"])
            due += interval


def _break(port: int, spec, args: argparse.Namespace) -> dict:
    rng = random.Random(0)
    errors = 0
    with connect(f"ws://127.0.0.1:{port}", compression=None, max_size=None) as connection:
        connection.recv()
        for _ in range(1_000):
            connection.send(rng.randbytes(rng.randint(1, 2_000)))
            errors += isinstance(connection.recv(), str)
        connection.send(_observation(spec, args.prompt, np.random.default_rng(0)))
        return {"sent": 1_000, "error_replies": errors, "answers_afterwards": "value" in unpack(connection.recv())}


def _memory_mib(pid: int) -> float:
    """Resident memory of a process; Linux only."""
    text = Path(f"/proc/{pid}/status").read_text()
    return round(int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024, 1)


if __name__ == "__main__":
    main()
