"""Questions and answers as tokens, against SentencePiece itself and templates written out."""

import io

import numpy as np
import pytest
import sentencepiece

from pistar_vf.errors import ConfigError, TokenizerError
from pistar_vf.questions.answer_encoder import AnswerEncoder, training_texts
from pistar_vf.tokenizer import PromptTokenizer

QUESTION, ANSWER = "what colour is the square?", "red"


@pytest.fixture(scope="module")
def chat_tokenizer(pictures) -> PromptTokenizer:
    """A model with the pieces that Gemma's chats are made of."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(text for picture in pictures for turn in picture.turns for text in turn),
        model_writer=model,
        model_type="bpe",
        vocab_size=400,
        hard_vocab_limit=False,
        byte_fallback=True,
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        user_defined_symbols=["\n", "<start_of_turn>", "<end_of_turn>"],
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return PromptTokenizer(model.getvalue())


def processor(tokenizer: PromptTokenizer) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)


def test_the_plain_template(tokenizer):
    """BOS is 2 and EOS 1, as in Gemma."""
    prompt = [2, *processor(tokenizer).encode("what colour is the square?\nAnswer:")]
    answer = [*processor(tokenizer).encode(" red"), 1]
    tokens, token_mask, loss_mask = AnswerEncoder(tokenizer, max_token_len=20).encode([QUESTION], [ANSWER])
    padding = 20 - len(prompt) - len(answer)
    assert tokens.tolist() == [prompt + answer + [0] * padding]
    assert token_mask.tolist() == [[True] * (20 - padding) + [False] * padding]
    assert loss_mask.tolist() == [[False] * len(prompt) + [True] * len(answer) + [False] * padding]


def test_the_chat_template(chat_tokenizer):
    """Its marks are pieces, so that the whole text in one go gives the same tokens."""
    text = "<start_of_turn>user\nwhat colour is the square?<end_of_turn>\n<start_of_turn>model\nred<end_of_turn>"
    expected = [2, *processor(chat_tokenizer).encode(text)]
    encoder = AnswerEncoder(chat_tokenizer, template="gemma-chat", max_token_len=len(expected))
    tokens, token_mask, loss_mask = encoder.encode([QUESTION], [ANSWER])
    assert tokens[0].tolist() == expected
    assert token_mask.all()
    assert tokens[0][loss_mask[0]].tolist() == processor(chat_tokenizer).encode("red<end_of_turn>")


@pytest.mark.parametrize("template", ["plain", "gemma-chat"])
def test_what_is_asked_is_what_was_trained_on(chat_tokenizer, template):
    encoder = AnswerEncoder(chat_tokenizer, template=template, max_token_len=40)
    tokens, token_mask, loss_mask = encoder.encode([QUESTION], [ANSWER])
    assert encoder.encode_prompts([QUESTION]) == [tokens[0][token_mask[0] & ~loss_mask[0]].tolist()]


def test_rows_do_not_depend_on_each_other(encoder, pictures):
    questions, answers = zip(*pictures[0].turns)
    together = encoder.encode(questions, answers)
    for row, turn in enumerate(pictures[0].turns):
        for one, many in zip(encoder.encode(*[[text] for text in turn]), together):
            np.testing.assert_array_equal(one[0], many[row])


def test_tokens_are_counted_as_encoded(encoder, pictures):
    questions, answers = zip(*pictures[0].turns)
    assert encoder.count_tokens(questions, answers).tolist() == encoder.encode(questions, answers)[1].sum(1).tolist()


@pytest.mark.parametrize("template", ["plain", "gemma-chat"])
def test_an_answer_is_read_up_to_its_end(chat_tokenizer, template):
    encoder = AnswerEncoder(chat_tokenizer, template=template)
    ids = encoder.encode_answers(["two red squares"])[0]
    assert encoder.decode_answer(ids) == "two red squares"
    assert encoder.decode_answer(np.array([*ids, *encoder.encode_answers(["blue"])[0]])) == "two red squares"
    assert encoder.decode_answer(ids[:-1]) == "two red squares"
    assert encoder.decode_answer([*ids[:-1], 10**6]) == "two red squares"


def test_too_long_is_refused(tokenizer):
    count = len(processor(tokenizer).encode("what colour is the square?\nAnswer: red")) + 2
    AnswerEncoder(tokenizer, max_token_len=count).encode([QUESTION], [ANSWER])
    message = (
        f"expected at most {count - 1} tokens, got {count} for the question 'what colour .*' with the answer 'red'"
    )
    with pytest.raises(TokenizerError, match=message):
        AnswerEncoder(tokenizer, max_token_len=count - 1).encode([QUESTION], [ANSWER])


def test_a_tokenizer_without_chat_pieces_is_refused(tokenizer):
    with pytest.raises(TokenizerError, match="expected a tokenizer with the piece '<start_of_turn>', got one without"):
        AnswerEncoder(tokenizer, template="gemma-chat")


def test_an_unknown_template_is_refused(tokenizer):
    with pytest.raises(ConfigError, match="template: expected 'plain' or 'gemma-chat', got 'chat'"):
        AnswerEncoder(tokenizer, template="chat")


def test_texts_to_train_a_tokenizer_on(source, pictures):
    expected = [f"{question}\nAnswer: {answer}" for picture in pictures for question, answer in picture.turns]
    assert training_texts(source) == expected
    assert training_texts(source, limit=7) == expected[:7]
