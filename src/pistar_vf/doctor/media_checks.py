"""Live checks of what reads a dataset: videos, tables, prompts, and the folders of the caches."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import cast

import numpy as np

from pistar_vf.doctor.findings import Concern, State

_NUM_FRAMES, _SIDE, _FPS = 5, 64, 10
_ENCODERS = (("libx264", {"crf": "18"}), ("mpeg4", {"qmin": "2", "qmax": "6"}))
"""The first one that this build of FFmpeg has."""
_TOLERANCE = 6.0
"""Grey levels on average; a frame that is one off would be 40."""
_ENOUGH_GIB = 5.0
"""Less is worth a warning: an hour of two cameras at 30 fps and 224 pixels takes 30 GiB."""


def check_video() -> str:
    """Encodes a video, decodes it as training does, and compares."""
    import av

    return _round_trip(*next(encoder for encoder in _ENCODERS if encoder[0] in av.codecs_available))


def check_av1() -> str:
    """The same with AV1, which LeRobot datasets use; only looks for the decoder where nothing here encodes AV1."""
    import av

    os.environ.setdefault("SVT_LOG", "1")  # the encoder prints its settings otherwise
    decoders = [name for name in ("libdav1d", "libaom-av1") if name in av.codecs_available]
    if not decoders:
        # FFmpeg's own `av1` is in the list too, but needs a GPU that decodes.
        fix = "pip install --force-reinstall --no-deps --only-binary av av"
        raise Concern("failed", "this PyAV was built without libdav1d and libaom", fix)
    if "libsvtav1" not in av.codecs_available:
        return f"decoder {decoders[0]}; not tried, as there is no encoder here"
    return f"decoder {decoders[0]}: {_round_trip('libsvtav1', {'preset': '12'})}"


def _round_trip(encoder: str, options: dict[str, str]) -> str:
    from pistar_vf.video.decoding import decode_video

    frames = _moving_ramp()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "doctor.mp4"
        _encode(path, frames, encoder, options)
        decoded = decode_video(
            path, size=_SIDE, fit="stretch", num_frames=_NUM_FRAMES, fps=float(_FPS), context="doctor"
        )
        error = np.abs(np.stack(list(decoded)).astype(float) - frames).mean((1, 2, 3)).max()
    if error > _TOLERANCE:
        raise ValueError(f"expected the frames that were encoded, got others: {error:.1f} grey levels apart")
    return f"{_NUM_FRAMES} frames through {encoder}, {error:.1f} grey levels apart"


def _moving_ramp() -> np.ndarray:
    """Frames of different brightness, so that a frame in another's place is seen."""
    ramp = np.linspace(0, 60, _SIDE)[None, :, None] + np.zeros((_SIDE, _SIDE, 3))
    return np.stack([ramp + 40 * number for number in range(_NUM_FRAMES)]).astype(np.uint8)


def _encode(path: Path, frames: np.ndarray, encoder: str, options: dict[str, str]) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = cast(av.VideoStream, container.add_stream(encoder, rate=_FPS, options=options))
        stream.height, stream.width, stream.pix_fmt = _SIDE, _SIDE, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def check_tables() -> str:
    """Writes a parquet table and reads it back as a dataset's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pistar_vf.lerobot.parquet import read_parquet_table

    table = pa.table({"frame_index": np.arange(3), "observation.state": [[0.5, 1.5]] * 3})
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(table, Path(folder) / "doctor.parquet")
        back = read_parquet_table(Path(folder) / "doctor.parquet")
    if not back.equals(table):
        raise ValueError("a table came back changed")
    return f"{table.num_rows} rows written and read back"


def check_tokenizer() -> str:
    """Trains a small tokenizer, tokenizes a prompt and turns it back into text."""
    from pistar_vf.tokenizer import PROMPT_SUFFIX, train_prompt_tokenizer

    prompt = "put the red vial into the rack"
    tokenizer = train_prompt_tokenizer([prompt])
    tokens, mask = tokenizer.tokenize(prompt)
    text = tokenizer.decode(tokens[mask].tolist())
    if text != prompt + PROMPT_SUFFIX:
        raise ValueError(f"expected {prompt + PROMPT_SUFFIX!r} back, got {text!r}")
    return f"{int(mask.sum())} tokens there and back"


def check_frame_cache() -> str:
    """Decoded frames and values can be written where they are kept."""
    from pistar_vf.frames.settings import cache_root

    return _try_folder(cache_root(None), "failed", "export PISTAR_VF_CACHE=<a folder on a disk with space>")


def check_lerobot_cache() -> str:
    """The folder where datasets are looked for by name; it need not be writable to be read from."""
    default = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "lerobot"
    folder = Path(os.environ.get("HF_LEROBOT_HOME", default)).expanduser()
    return _try_folder(folder, "warning", "export HF_LEROBOT_HOME=<the folder of your datasets>")


def _try_folder(folder: Path, when_read_only: State, fix: str) -> str:
    """Writes a file into a folder, or into what it would be made in, and leaves nothing behind."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free / 2**30
    place = f"{folder}{'' if existing == folder else ' (not made yet)'}: {free:.1f} GiB free"
    try:
        with tempfile.NamedTemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise Concern(when_read_only, f"{place}, but cannot be written: {error.strerror}", fix) from error
    if free < _ENOUGH_GIB:
        raise Concern("warning", place, fix)
    return place
