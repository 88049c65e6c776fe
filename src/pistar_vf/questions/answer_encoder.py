"""Questions and answers as token ids: a prompt, the answer, and the piece that ends it.

| template | prompt | answer |
|---|---|---|
| `plain` | BOS, question, newline, `Answer:` | space, answer, EOS |
| `gemma-chat` | BOS, Gemma's turn of the user, and the head of the model's turn | answer, `<end_of_turn>` |

The two parts are tokenised each on its own, so that what a model is asked later is exactly what it was trained on.
"""

from collections.abc import Sequence
from itertools import islice

import numpy as np

from pistar_vf.errors import ConfigError, TokenizerError
from pistar_vf.questions.sample import VqaSource
from pistar_vf.tokenizer import PAD_ID, PromptTokenizer
from pistar_vf.typing import Bool, Int

TEMPLATES = ("plain", "gemma-chat")
ANSWER_SUFFIX = "\nAnswer:"
_START, _END = "<start_of_turn>", "<end_of_turn>"


class AnswerEncoder:
    """Turns questions and answers into padded token ids.

    Attributes:
        tokenizer: of both; its own `max_token_len`, that of prompts to the value, plays no part.
        max_token_len: tokens of a question with its answer.
    """

    def __init__(self, tokenizer: PromptTokenizer, *, template: str = "plain", max_token_len: int = 128):
        """Looks up the pieces of the template.

        Args:
            tokenizer: Gemma's, or one trained on the data.
            template: "plain", or "gemma-chat" for checkpoints that were tuned to chat.
            max_token_len: tokens of a question with its answer; shorter ones are padded to it.

        Raises:
            ConfigError: there is no such template.
            TokenizerError: the tokenizer lacks a piece of the template.
        """
        if template not in TEMPLATES:
            raise ConfigError(f"template: expected {' or '.join(map(repr, TEMPLATES))}, got {template!r}")
        self.tokenizer, self.max_token_len = tokenizer, max_token_len
        if template == "plain":
            self._before, self._after = [tokenizer.bos_id], []
            self._question, self._answer = "{}" + ANSWER_SUFFIX, " {}"
            self.end_id = tokenizer.eos_id
        else:
            start, self.end_id = tokenizer.piece_id(_START), tokenizer.piece_id(_END)
            newline, model = tokenizer.encode(["\n", "model\n"])
            self._before, self._after = [tokenizer.bos_id, start], [self.end_id, *newline, start, *model]
            self._question, self._answer = "user\n{}", "{}"

    def encode_prompts(self, questions: Sequence[str]) -> list[list[int]]:
        """Token ids of the questions, up to where the answer begins."""
        pieces = self.tokenizer.encode([self._question.format(question) for question in questions])
        return [[*self._before, *ids, *self._after] for ids in pieces]

    def encode_answers(self, answers: Sequence[str]) -> list[list[int]]:
        """Token ids of the answers, the piece that ends them included."""
        pieces = self.tokenizer.encode([self._answer.format(answer) for answer in answers])
        return [[*ids, self.end_id] for ids in pieces]

    def decode_answer(self, ids: Sequence[int] | Int[np.ndarray, " l"]) -> str:
        """What a model answered: the text before the first end piece, or all of it."""
        own = np.asarray(ids).tolist()
        return self.tokenizer.decode(own[: own.index(self.end_id)] if self.end_id in own else own).strip()

    def count_tokens(self, questions: Sequence[str], answers: Sequence[str]) -> Int[np.ndarray, " n"]:
        """Tokens of every question with its answer, unpadded."""
        parts = zip(self.encode_prompts(questions), self.encode_answers(answers))
        return np.array([len(prompt) + len(answer) for prompt, answer in parts], np.int32)

    def encode(
        self, questions: Sequence[str], answers: Sequence[str]
    ) -> tuple[Int[np.ndarray, "b l"], Bool[np.ndarray, "b l"], Bool[np.ndarray, "b l"]]:
        """Tokens, token mask and loss mask, see `LanguageBatch`.

        Raises:
            TokenizerError: one is longer than `max_token_len`.
        """
        tokens = np.full((len(questions), self.max_token_len), PAD_ID, np.int32)
        token_mask, loss_mask = np.zeros(tokens.shape, np.bool_), np.zeros(tokens.shape, np.bool_)
        for row, (prompt, answer) in enumerate(zip(self.encode_prompts(questions), self.encode_answers(answers))):
            length = len(prompt) + len(answer)
            if length > self.max_token_len:
                raise TokenizerError(
                    f"expected at most {self.max_token_len} tokens, got {length} for the question {questions[row]!r} "
                    f"with the answer {answers[row]!r}; raise max_token_len (nothing is ever cut)"
                )
            tokens[row, :length] = prompt + answer
            token_mask[row, :length] = True
            loss_mask[row, len(prompt) : length] = True
        return tokens, token_mask, loss_mask


def training_texts(source: VqaSource, limit: int = 10_000) -> list[str]:
    """The first questions with their answers, to train a tokenizer on where there is none."""
    turns = (turn for sample in source.scan() for turn in sample.turns)
    return [f"{question}{ANSWER_SUFFIX} {answer}" for question, answer in islice(turns, limit)]
