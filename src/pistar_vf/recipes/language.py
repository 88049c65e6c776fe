"""Question-answer data of a run, and how well a model answers what was held out."""

import logging

import jax
import numpy as np
from jax.sharding import Mesh

from pistar_vf.batch import LanguageBatch, Observation
from pistar_vf.episode_layout import evenly_spread
from pistar_vf.models.language import generate, language_loss
from pistar_vf.models.language_view import language_params, language_view
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import unflatten
from pistar_vf.questions.answer_encoder import AnswerEncoder, training_texts
from pistar_vf.questions.language_table import LanguageOrder, LanguageTable, eval_language_batches
from pistar_vf.questions.open_source import open_vqa_source
from pistar_vf.questions.record_index import index_records
from pistar_vf.questions.resolve import find_vqa_data
from pistar_vf.questions.settings import VqaSettings
from pistar_vf.sharding import put_batch, replicated
from pistar_vf.tokenizer import PromptTokenizer
from pistar_vf.typing import Params

_log = logging.getLogger(__name__)


def open_language_table(
    settings: VqaSettings,
    tokenizer: PromptTokenizer,
    *,
    cameras: tuple[str, ...],
    image_size: int,
    image_fit: str,
    seed: int,
) -> LanguageTable:
    """Finds, opens and indexes the data; every text is read once.

    Raises:
        PistarError: the data is missing, damaged or does not fit.
    """
    source = open_vqa_source(find_vqa_data(settings.data, settings.subset), image_dir=settings.image_dir)
    encoder = AnswerEncoder(tokenizer, template=settings.template, max_token_len=settings.max_token_len)
    index = index_records(
        source, encoder, val_fraction=settings.val_fraction, seed=seed, progress=jax.process_index() == 0
    )
    _log.info("questions: %d to train on, %d held out (%s)", (~index.held_out).sum(), index.held_out.sum(), source.path)
    return LanguageTable(source, index, encoder, cameras, image_size, image_fit)


def vqa_texts(settings: VqaSettings | None) -> tuple[str, ...]:
    """The data's texts, for a tokenizer that is trained on them; none without settings."""
    if settings is None:
        return ()
    source = open_vqa_source(find_vqa_data(settings.data, settings.subset), image_dir=settings.image_dir)
    return tuple(dict.fromkeys(training_texts(source)))


def question_order(table: LanguageTable, batch_size: int, seed: int) -> LanguageOrder:
    """Which questions this process reads in which step; `batch_size` is that of all processes together."""
    processes = {"process_index": jax.process_index(), "process_count": jax.process_count()}
    return LanguageOrder(table, batch_size, seed=seed, **processes)


class LanguageEvaluator:
    """Loss and share of right answers on held-out questions.

    Args:
        value_function: the model.
        table: the questions.
        batch_size: global batch size.
        mesh: the devices.
        max_records: held-out questions that are asked, evenly spaced.
        num_workers: threads that read pictures.
    """

    def __init__(
        self,
        value_function: ValueFunction,
        table: LanguageTable,
        batch_size: int,
        mesh: Mesh,
        *,
        max_records: int = 512,
        num_workers: int = 2,
    ):
        self._table, self._mesh = table, mesh
        self._batch_size, self._num_workers = batch_size, num_workers
        held_out = table.val_records
        self._records = held_out[evenly_spread(len(held_out), max_records)]
        answers = table.encoder.encode_answers([self._answer(record) for record in self._records.tolist()])
        # As text after encoding, so that what the tokenizer cannot spell does not count as wrong.
        self._answers = dict(zip(self._records.tolist(), map(table.encoder.decode_answer, answers)))
        num_tokens = max(map(len, answers))

        view = language_view(value_function)

        def measure(part: Params, frozen: Params, batch: LanguageBatch) -> tuple[jax.Array, jax.Array, jax.Array]:
            params = language_params(unflatten({**frozen, **part}))
            total, count = language_loss(view, params, batch)
            asked = batch.token_mask & (np.arange(batch.tokens.shape[1])[None] < _prompt_length(batch)[:, None])
            question = Observation(batch.images, batch.image_masks, batch.tokens * asked, asked)
            end = table.encoder.end_id
            return total, count, generate(view, params, question, max_new_tokens=num_tokens, end_token=end)

        self._measure = jax.jit(measure, out_shardings=replicated(mesh))

    def summary(self, part: Params, frozen: Params) -> dict[str, float]:
        """`language_loss`, nats per token of the answers, and `answers_right`, the share that is exactly right."""
        losses, counts, right = 0.0, 0, 0
        # In processes, every one asks all questions: pictures are few, and the answers are compared as text.
        for batch in eval_language_batches(self._table, self._records, self._batch_size, self._num_workers):
            total, count, tokens = jax.device_get(self._measure(part, frozen, put_batch(batch, self._mesh)))
            losses, counts = losses + float(total), counts + int(count)
            for record, ids in zip(batch.index.tolist(), tokens):
                right += record >= 0 and self._table.encoder.decode_answer(ids) == self._answers[record]
        return {"language_loss": losses / max(1, counts), "answers_right": right / len(self._records)}

    def _answer(self, record: int) -> str:
        index = self._table.index
        (sample,) = self._table.source.read(index.sample[[record]])
        return sample.turns[int(index.turn[record])][1]


def _prompt_length(batch: LanguageBatch) -> jax.Array:
    """Tokens before the answer: the answer is one run, so its first token says it."""
    return batch.loss_mask.argmax(axis=1)
