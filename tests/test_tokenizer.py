"""Prompts to tokens; the oracle is `sentencepiece` itself, on models trained here."""

import hashlib
import io
import os
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import sentencepiece

from pistar_vf.errors import TokenizerError
from pistar_vf.tokenizer import PROMPT_SUFFIX, PromptTokenizer, resolve_tokenizer, train_prompt_tokenizer

PROMPTS = ["pick up the red bottle", "put the red bottle in the box", "open the box"]


def train_with_sentencepiece(**ids) -> bytes:
    """A model of the kind Gemma has, trained without our code."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(PROMPTS),
        model_writer=model,
        vocab_size=320,
        hard_vocab_limit=False,
        byte_fallback=True,
        user_defined_symbols=["\n"],
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
        **{"pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, **ids},
    )
    return model.getvalue()


@pytest.fixture(scope="module")
def foreign_model() -> bytes:
    return train_with_sentencepiece()


@pytest.fixture(autouse=True)
def no_tokenizer_around(monkeypatch, tmp_path):
    """The machine's own variables and home folder must not decide a test."""
    for variable in ("OPENPI_VALUE_TOKENIZER_PATH", "GEMMA_TOKENIZER_PATH", "OPENPI_VLM_CKPT_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def processor(model: bytes) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=model)


# --- PromptTokenizer -------------------------------------------------------------------------------------------


def test_tokens_are_bos_then_text_then_padding(foreign_model):
    expected = processor(foreign_model).encode("pick up the red bottle\nValue:", add_bos=True)
    tokens, mask = PromptTokenizer(foreign_model).tokenize("pick up the red bottle  \n")
    assert tokens.dtype == np.int32
    assert mask.dtype == np.bool_
    assert tokens.shape == mask.shape == (48,)
    assert tokens[0] == 2
    assert tokens.tolist() == expected + [0] * (48 - len(expected))
    assert mask.tolist() == [True] * len(expected) + [False] * (48 - len(expected))


def test_bos_is_the_models_own(foreign_model):
    swapped = train_with_sentencepiece(eos_id=2, bos_id=1)
    assert PromptTokenizer(swapped).tokenize("open")[0][0] == 1
    assert PromptTokenizer(foreign_model).tokenize("open")[0][0] == 2


def test_leading_space_is_kept():
    tokenizer = train_prompt_tokenizer(PROMPTS)
    assert tokenizer.tokenize(" open")[0].tolist() != tokenizer.tokenize("open")[0].tolist()


def test_many_is_one_by_one(foreign_model):
    tokenizer = PromptTokenizer(foreign_model, max_token_len=40)
    tokens, mask = tokenizer.tokenize_many(PROMPTS)
    assert tokens.shape == mask.shape == (3, 40)
    for row, prompt in enumerate(PROMPTS):
        np.testing.assert_array_equal(tokens[row], tokenizer.tokenize(prompt)[0])
        np.testing.assert_array_equal(mask[row], tokenizer.tokenize(prompt)[1])


def test_many_of_none_is_empty(foreign_model):
    tokens, mask = PromptTokenizer(foreign_model).tokenize_many([])
    assert tokens.shape == mask.shape == (0, 48)


def test_a_prompt_that_just_fits_is_accepted_and_one_token_more_is_refused(foreign_model):
    prompt = "put the red bottle in the box"
    count = len(processor(foreign_model).encode(prompt + "\nValue:")) + 1
    assert PromptTokenizer(foreign_model, max_token_len=count).tokenize(prompt)[1].all()
    message = f"expected at most {count - 1} tokens, got {count} for the prompt '{prompt}'; .*--max_token_len={count}"
    with pytest.raises(TokenizerError, match=message):
        PromptTokenizer(foreign_model, max_token_len=count - 1).tokenize(prompt)


@pytest.mark.parametrize("prompt", ["", "  \n\t"])
def test_an_empty_prompt_is_refused(foreign_model, prompt):
    with pytest.raises(TokenizerError, match="expected a prompt in words, got " + re.escape(repr(prompt))):
        PromptTokenizer(foreign_model).tokenize(prompt)


def test_vocab_size_and_digest(foreign_model):
    tokenizer = PromptTokenizer(foreign_model)
    assert tokenizer.vocab_size == processor(foreign_model).get_piece_size()
    assert tokenizer.digest == hashlib.sha256(foreign_model).hexdigest()
    assert tokenizer.model == foreign_model


def test_pickle_keeps_everything(foreign_model):
    copy = pickle.loads(pickle.dumps(PromptTokenizer(foreign_model, max_token_len=33)))
    assert copy.model == foreign_model
    assert copy.tokenize(PROMPTS[0])[0].tolist() == PromptTokenizer(foreign_model, 33).tokenize(PROMPTS[0])[0].tolist()


@pytest.mark.parametrize("cut", [0, 100, -50])
def test_a_damaged_model_is_refused_and_the_file_named(foreign_model, cut, tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(foreign_model[:cut])
    size = path.stat().st_size
    with pytest.raises(TokenizerError, match=f"tokenizer.model: expected a SentencePiece model, got {size} bytes"):
        PromptTokenizer.load(path)


def test_load_reads_the_file(foreign_model, tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(foreign_model)
    tokenizer = PromptTokenizer.load(path, max_token_len=20)
    assert (tokenizer.model, tokenizer.max_token_len) == (foreign_model, 20)


def test_loading_a_missing_file_names_it(tmp_path):
    with pytest.raises(TokenizerError, match=r"at .*absent\.model, got .*No such file"):
        PromptTokenizer.load(tmp_path / "absent.model")


def test_a_model_without_padding_is_refused():
    with pytest.raises(TokenizerError, match="expected a tokenizer whose pad id is 0, got -1"):
        PromptTokenizer(train_with_sentencepiece(pad_id=-1, unk_id=0))


def test_a_model_without_bos_is_refused():
    with pytest.raises(TokenizerError, match="expected a tokenizer with a BOS token, got one without"):
        PromptTokenizer(train_with_sentencepiece(bos_id=-1, unk_id=2))


# --- pieces, for prompts of other forms --------------------------------------------------------------------------


def test_texts_are_encoded_as_they_are(foreign_model):
    texts = ["pick up", " the red bottle\n", "", "pick up " * 30]
    expected = [processor(foreign_model).encode(text) for text in texts]
    assert PromptTokenizer(foreign_model, max_token_len=5).encode(texts) == expected


def test_ids_are_read_back_without_special_pieces():
    tokenizer = train_prompt_tokenizer(PROMPTS)
    (ids,) = tokenizer.encode([" the red bottle"])
    beyond = tokenizer.vocab_size
    assert tokenizer.decode([tokenizer.bos_id, *ids, tokenizer.eos_id, 0, beyond]) == " the red bottle"
    assert tokenizer.decode([]) == ""


def test_special_ids_are_the_models_own():
    swapped = PromptTokenizer(train_with_sentencepiece(eos_id=2, bos_id=1))
    assert (swapped.bos_id, swapped.eos_id) == (1, 2)


def test_a_model_without_eos_reads_prompts_but_has_no_end_piece():
    tokenizer = PromptTokenizer(train_with_sentencepiece(eos_id=-1, bos_id=1, unk_id=2))
    assert tokenizer.tokenize("open")[0][0] == 1
    with pytest.raises(TokenizerError, match="expected a tokenizer with an EOS token, got one without"):
        _ = tokenizer.eos_id


def test_pieces_are_looked_up(foreign_model):
    tokenizer = PromptTokenizer(foreign_model)
    assert [tokenizer.piece_id("\n")] == tokenizer.encode(["\n"])[0][-1:]
    assert tokenizer.piece_id("<unk>") == 3
    with pytest.raises(TokenizerError, match=f"the piece '<start_of_turn>', got one without .* {tokenizer.vocab_size}"):
        tokenizer.piece_id("<start_of_turn>")


# --- train_prompt_tokenizer ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trained_on", "prompt"),
    [
        (["a"], "a"),
        (PROMPTS, PROMPTS[1]),
        (PROMPTS, "take the black cup away"),
        (["把瓶子放进盒子里"], "把瓶子放进盒子里"),
        (["把瓶子放进盒子里"], "打开盒子"),
        (["ﬁx the Ａ"], "ﬁx the Ａ"),
        (["two\nlines  with   spaces"], "two\nlines  with   spaces"),
    ],
)
def test_a_trained_model_reads_text_back_unchanged(trained_on, prompt):
    tokenizer = train_prompt_tokenizer(trained_on)
    tokens, mask = tokenizer.tokenize(prompt)
    oracle = processor(tokenizer.model)
    ids = tokens[mask].tolist()
    assert oracle.unk_id() not in ids
    assert oracle.decode(ids[1:]) == prompt + PROMPT_SUFFIX


def test_a_trained_model_has_gemmas_special_ids_and_a_newline_piece():
    oracle = processor(train_prompt_tokenizer(PROMPTS).model)
    assert (oracle.pad_id(), oracle.eos_id(), oracle.bos_id(), oracle.unk_id()) == (0, 1, 2, 3)
    assert oracle.encode("box\nbox", out_type=str) == ["box", "\n", "box"]


def test_words_of_the_dataset_are_short():
    tokenizer = train_prompt_tokenizer(PROMPTS)
    pieces = processor(tokenizer.model).encode("put the red bottle in the box", out_type=str)
    assert pieces == ["put", "▁the", "▁red", "▁bottle", "▁in", "▁the", "▁box"]


def test_training_does_not_depend_on_order_or_repetition():
    shuffled = [PROMPTS[2], PROMPTS[0], PROMPTS[1], PROMPTS[0]]
    assert train_prompt_tokenizer(shuffled).digest == train_prompt_tokenizer(PROMPTS).digest


def test_the_vocabulary_is_bounded_by_vocab_size():
    prompts = [f"move object {i} to place {i * i}" for i in range(200)]
    assert train_prompt_tokenizer(prompts, vocab_size=300).vocab_size == 300
    assert train_prompt_tokenizer(prompts).vocab_size == 512


def test_more_characters_than_vocab_size_are_all_kept():
    prompt = "".join(map(chr, range(0x4E00, 0x4E00 + 400)))
    oracle = processor(train_prompt_tokenizer([prompt]).model)
    assert len(oracle.encode(prompt)) <= 400


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_training_is_quiet_and_the_same_in_every_process(hash_seed):
    code = f"""
from pistar_vf.tokenizer import train_prompt_tokenizer
print(train_prompt_tokenizer({PROMPTS}).digest)
"""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == train_prompt_tokenizer(PROMPTS).digest + "\n"
    assert run.stderr == ""


@pytest.mark.parametrize("prompts", [[], ["", " \n"]])
def test_training_without_prompts_is_refused(prompts):
    with pytest.raises(TokenizerError, match="expected at least one prompt to train a tokenizer on, got none"):
        train_prompt_tokenizer(prompts)


# --- resolve_tokenizer -----------------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path):
    """One file for every place that is searched."""
    paths = {
        name: tmp_path / name / "tokenizer.model"
        for name in ("explicit", "value", "gemma", "bundle", "Downloads/vlm_ckpt")
    }
    for path in paths.values():
        path.parent.mkdir(parents=True)
        path.touch()
    return paths


def test_places_are_searched_in_their_order(places, monkeypatch):
    assert resolve_tokenizer(None) == places["Downloads/vlm_ckpt"]
    monkeypatch.setenv("OPENPI_VLM_CKPT_DIR", str(places["bundle"].parent))
    assert resolve_tokenizer(None) == places["bundle"]
    monkeypatch.setenv("GEMMA_TOKENIZER_PATH", str(places["gemma"]))
    assert resolve_tokenizer(None) == places["gemma"]
    monkeypatch.setenv("OPENPI_VALUE_TOKENIZER_PATH", str(places["value"]))
    assert resolve_tokenizer(None) == places["value"]
    assert resolve_tokenizer(str(places["explicit"])) == places["explicit"]


def test_a_folder_stands_for_the_file_in_it(places):
    assert resolve_tokenizer(str(places["explicit"].parent)) == places["explicit"]


def test_the_home_folder_may_be_written_with_a_tilde(places):
    assert resolve_tokenizer("~/gemma/tokenizer.model") == places["gemma"]


def test_an_explicit_path_has_no_fallback(places, tmp_path):
    with pytest.raises(TokenizerError, match=r"absent\.model \(from --tokenizer_path\), got no file; download Gemma 3"):
        resolve_tokenizer(str(tmp_path / "absent.model"))


def test_a_folder_without_the_file_is_refused(tmp_path):
    with pytest.raises(
        TokenizerError, match=rf"{tmp_path.name}/tokenizer\.model \(from --tokenizer_path\), got no file"
    ):
        resolve_tokenizer(str(tmp_path))


@pytest.mark.parametrize("variable", ["OPENPI_VALUE_TOKENIZER_PATH", "GEMMA_TOKENIZER_PATH", "OPENPI_VLM_CKPT_DIR"])
def test_a_variable_that_points_nowhere_has_no_fallback(variable, places, monkeypatch):
    monkeypatch.setenv(variable, "absent")
    with pytest.raises(TokenizerError, match=rf"at absent.*\(from \${variable}\), got no file"):
        resolve_tokenizer(None)


def test_nothing_anywhere_lists_every_place():
    with pytest.raises(TokenizerError, match="found no tokenizer") as caught:
        resolve_tokenizer(None)
    for place in ("OPENPI_VALUE_TOKENIZER_PATH", "GEMMA_TOKENIZER_PATH", "OPENPI_VLM_CKPT_DIR", "Downloads/vlm_ckpt"):
        assert place in str(caught.value)
    assert "pass --tokenizer_path" in str(caught.value)


@pytest.mark.parametrize(
    "prompt", ["push", "Push the T-shaped block onto the T-shaped target.", "put " * 60, "拿起桌子上的红色杯子"]
)
def test_the_longest_prompt_decides_where_a_tokenizer_is_fitted(prompt):
    small = train_prompt_tokenizer(["push"])
    fitted = small.fitting(["push", prompt], at_least=4)
    tokens, mask = fitted.tokenize(prompt)
    assert fitted.model == small.model
    assert len(tokens) == fitted.max_token_len == max(4, int(mask.sum()), int(fitted.tokenize("push")[1].sum()))
