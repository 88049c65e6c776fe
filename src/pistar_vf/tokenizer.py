"""Prompts to token ids: `prompt.rstrip() + "\\nValue:"`, BOS in front, no EOS, padded with 0.

Gemma's own SentencePiece model, or a small one trained on the dataset's prompts for models without Gemma
weights. A prompt is never cut: one that does not fit is refused.

References:
    Kudo and Richardson, "SentencePiece", arXiv 1808.06226.
"""

import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import sentencepiece

from pistar_vf.errors import TokenizerError
from pistar_vf.hub.files import HubFiles, curable
from pistar_vf.typing import Bool, Int

PROMPT_SUFFIX = "\nValue:"
"""What follows every prompt; the read-out of the value comes after it."""

PAD_ID = 0
MAX_TOKEN_LEN = 48

TOKENIZER_FILE = "tokenizer.model"
_PATH_VARIABLES = ("OPENPI_VALUE_TOKENIZER_PATH", "GEMMA_TOKENIZER_PATH")
_BUNDLE_VARIABLE = "OPENPI_VLM_CKPT_DIR"
_DEFAULT_BUNDLE = "~/Downloads/vlm_ckpt"
_GEMMA = "google/gemma-3-270m-it"
_WHAT_TO_DO = (
    f"download Gemma 3's {TOKENIZER_FILE} and pass --tokenizer_path=<file>: hf download {_GEMMA} {TOKENIZER_FILE} "
    "--local-dir ~/gemma-3-270m-it"
)

# 256 bytes, pad, eos, bos, unk and the newline.
_RESERVED_PIECES = 261


def resolve_tokenizer(tokenizer_path: str | None) -> Path:
    """Finds the SentencePiece model to use.

    An explicit path decides alone. Without one, the first of `$OPENPI_VALUE_TOKENIZER_PATH`,
    `$GEMMA_TOKENIZER_PATH` and `$OPENPI_VLM_CKPT_DIR/tokenizer.model` that is set decides; without any,
    `~/Downloads/vlm_ckpt/tokenizer.model`. A place that was named but is empty is an error: another
    tokenizer must not take its place silently.

    Args:
        tokenizer_path: a file, or a folder that holds `tokenizer.model`; None to search.

    Returns:
        The path of an existing file.

    Raises:
        TokenizerError: nothing is there; lists every place looked at.
    """
    if tokenizer_path is not None:
        return _existing_file(tokenizer_path, "--tokenizer_path")
    for variable in (*_PATH_VARIABLES, _BUNDLE_VARIABLE):
        if value := os.environ.get(variable):
            return _existing_file(value, f"${variable}")
    default = Path(_DEFAULT_BUNDLE).expanduser() / TOKENIZER_FILE
    if default.is_file():
        return default
    places = "\n".join(f"  - ${variable}: not set" for variable in (*_PATH_VARIABLES, _BUNDLE_VARIABLE))
    raise _missing(f"found no tokenizer; looked at\n{places}\n  - {default}: no such file\n", default)


def _existing_file(value: str, source: str) -> Path:
    path = Path(value).expanduser()
    candidate = path / TOKENIZER_FILE if path.is_dir() else path
    if not candidate.is_file():
        raise _missing(f"expected a SentencePiece model at {candidate} (from {source}), got no file; ", candidate)
    return candidate


def _missing(what: str, place: Path) -> TokenizerError:
    """With how to get Gemma's where it is looked for, if that may be a file of its name."""
    if place.name != TOKENIZER_FILE:
        return TokenizerError(what + _WHAT_TO_DO)
    files = HubFiles(_GEMMA, (TOKENIZER_FILE,), folder=place.parent)
    return curable(TokenizerError(f"{what}download Gemma 3's: {files.line()}; or pass --tokenizer_path=<file>"), files)


_UNBOUNDED = 1 << 20  # tokens: more than any prompt has


class PromptTokenizer:
    """Turns prompts into padded token ids; can be pickled.

    Attributes:
        model: the serialised SentencePiece model.
        max_token_len: tokens per prompt, suffix and BOS included; shorter prompts are padded to it.
    """

    def __init__(self, model: bytes, max_token_len: int = MAX_TOKEN_LEN) -> None:
        """Loads a serialised SentencePiece model.

        Raises:
            TokenizerError: the bytes are no SentencePiece model, its pad id is not 0, or it has no BOS.
        """
        self.model = model
        self.max_token_len = max_token_len
        self._processor = _create_processor(model)

    @classmethod
    def load(cls, path: str | Path, max_token_len: int = MAX_TOKEN_LEN) -> "PromptTokenizer":
        """Reads a `tokenizer.model`.

        Raises:
            TokenizerError: names the file and what is wrong with it.
        """
        try:
            return cls(Path(path).read_bytes(), max_token_len)
        except OSError as error:
            raise TokenizerError(f"expected a SentencePiece model at {path}, got {error}; {_WHAT_TO_DO}") from error
        except TokenizerError as error:
            raise TokenizerError(f"{path}: {error}") from error

    def __reduce__(self) -> tuple[type["PromptTokenizer"], tuple[bytes, int]]:
        return PromptTokenizer, (self.model, self.max_token_len)

    @property
    def vocab_size(self) -> int:
        """Number of pieces; every token id is below it."""
        return self._processor.vocab_size()

    @property
    def digest(self) -> str:
        """SHA-256 of the model, hexadecimal: two tokenizers with one digest are the same."""
        return hashlib.sha256(self.model).hexdigest()

    @property
    def bos_id(self) -> int:
        """Id of the piece that begins every text."""
        return self._processor.bos_id()

    @property
    def eos_id(self) -> int:
        """Id of the piece that ends an answer.

        Raises:
            TokenizerError: the model has none.
        """
        if self._processor.eos_id() < 0:
            raise TokenizerError(
                f"expected a tokenizer with an EOS token, got one without; this is not Gemma's tokenizer: {_WHAT_TO_DO}"
            )
        return self._processor.eos_id()

    def piece_id(self, piece: str) -> int:
        """Id of a piece.

        Raises:
            TokenizerError: the vocabulary has no such piece.
        """
        number = self._processor.piece_to_id(piece)
        if self._processor.id_to_piece(number) != piece:
            raise TokenizerError(
                f"expected a tokenizer with the piece {piece!r}, got one without among its {self.vocab_size}; "
                "use Gemma's tokenizer, or a template without it"
            )
        return number

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of texts as they are: no BOS, no suffix, no padding, any length."""
        return self._processor.encode(list(texts))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special pieces have none, nor have ids beyond the vocabulary, which a model may produce."""
        return self._processor.decode([number for number in ids if number < self.vocab_size])

    def tokenize(self, prompt: str) -> tuple[Int[np.ndarray, " l"], Bool[np.ndarray, " l"]]:
        """Tokenizes one prompt.

        Args:
            prompt: the task in words; trailing white space does not count.

        Returns:
            Token ids, int32, padded with 0 to `max_token_len`; and a mask, True on real tokens.

        Raises:
            TokenizerError: the prompt is empty, or longer than `max_token_len` tokens.
        """
        ids = self._encode(prompt)
        tokens = np.full(self.max_token_len, PAD_ID, np.int32)
        tokens[: len(ids)] = ids
        return tokens, np.arange(self.max_token_len) < len(ids)

    def tokenize_many(self, prompts: Sequence[str]) -> tuple[Int[np.ndarray, "n l"], Bool[np.ndarray, "n l"]]:
        """`tokenize` for each prompt, stacked in order."""
        tokens = np.full((len(prompts), self.max_token_len), PAD_ID, np.int32)
        mask = np.zeros(tokens.shape, np.bool_)
        for row, prompt in enumerate(prompts):
            tokens[row], mask[row] = self.tokenize(prompt)
        return tokens, mask

    def fitting(self, prompts: Iterable[str], at_least: int) -> "PromptTokenizer":
        """The same tokenizer with `max_token_len` tokens for the longest of some prompts, or for `at_least`.

        Raises:
            TokenizerError: a prompt is empty.
        """
        unbounded = PromptTokenizer(self.model, _UNBOUNDED)
        return PromptTokenizer(self.model, max([at_least, *(len(unbounded._encode(prompt)) for prompt in prompts)]))

    def _encode(self, prompt: str) -> list[int]:
        if not prompt.strip():
            raise TokenizerError(
                f"expected a prompt in words, got {prompt!r}; give every task of the dataset a description, "
                "or pass the prompt to use instead"
            )
        ids = [self._processor.bos_id(), *self._processor.encode(prompt.rstrip() + PROMPT_SUFFIX)]
        if len(ids) > self.max_token_len:
            raise TokenizerError(
                f"expected at most {self.max_token_len} tokens, got {len(ids)} for the prompt {prompt!r}; "
                f"shorten it or train with --max_token_len={len(ids)} or more (prompts are never cut)"
            )
        return ids


def _create_processor(model: bytes) -> sentencepiece.SentencePieceProcessor:
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model)
    except RuntimeError as error:
        raise TokenizerError(
            f"expected a SentencePiece model, got {len(model)} bytes that are none "
            f"(a damaged download, or a pointer file of git-lfs?); {_WHAT_TO_DO}"
        ) from error
    if processor.pad_id() != PAD_ID:
        raise TokenizerError(
            f"expected a tokenizer whose pad id is {PAD_ID}, got {processor.pad_id()} "
            f"(-1 means none); this is not Gemma's tokenizer: {_WHAT_TO_DO}"
        )
    if processor.bos_id() < 0:
        raise TokenizerError(
            f"expected a tokenizer with a BOS token, got one without; this is not Gemma's tokenizer: {_WHAT_TO_DO}"
        )
    return processor


def train_prompt_tokenizer(prompts: Sequence[str], vocab_size: int = 512) -> PromptTokenizer:
    """Trains a small tokenizer on a dataset's own prompts.

    Byte-pair pieces with byte fallback, so that any text can be tokenized; Gemma's special ids (pad 0,
    eos 1, bos 2, unk 3); text is not normalised. The same prompts in any order give the same bytes.

    Args:
        prompts: at least one prompt.
        vocab_size: upper bound of the vocabulary; raised where the distinct characters alone need more.

    Raises:
        TokenizerError: there is no prompt with text.
    """
    lines = _training_lines(prompts)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="bpe",
        vocab_size=max(vocab_size, _RESERVED_PIECES + len(set("".join(lines)))),
        hard_vocab_limit=False,
        byte_fallback=True,
        character_coverage=1.0,
        pad_id=PAD_ID,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        # SentencePiece trains on lines and never sees a newline: it is a piece of its own, as in Gemma.
        user_defined_symbols=["\n"],
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        num_threads=1,  # same bytes on every machine
        minloglevel=2,  # errors only
    )
    return PromptTokenizer(model.getvalue())


def _training_lines(prompts: Iterable[str]) -> list[str]:
    lines = {line for prompt in prompts for line in prompt.splitlines() if line.strip()}
    if not lines:
        raise TokenizerError(
            "expected at least one prompt to train a tokenizer on, got none with text; "
            "give the dataset's tasks a description"
        )
    return sorted({*lines, PROMPT_SUFFIX.strip()})
