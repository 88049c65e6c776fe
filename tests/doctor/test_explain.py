"""Messages as the library raises them find their entry of docs/failures.md."""

import pytest

from pistar_vf.cli import explain as command
from pistar_vf.doctor.explain import Entry, explain, read_entries
from pistar_vf.errors import ConfigError


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        (
            "error: column 'value_label' of /data/vials/data/chunk-000/episode_000003.parquet, episode 3, frame 17: "
            "expected a finite value label, got nan (4 such frames in the dataset)",
            "label",
        ),
        ("data/vials is being written to by relabel, process 4711 of me on robot1; wait for it to end", "wait"),
        ("XLA: expected the run to fit into the accelerator's memory, got: RESOURCE_EXHAUSTED", "nvidia-smi"),
        ("V does not use the images: with the images of other frames its error is 0.1, with its own 0.1", ""),
        ("tokenizer: found no tokenizer; looked at ~/vlm_ckpt/tokenizer.model, /data/tokenizer.model", "tokenizer"),
    ],
)
def test_real_messages(message, advice):
    found = explain(message, read_entries())
    assert found
    assert advice in found[0].advice


def test_the_best_comes_first_and_strangers_do_not_come():
    entries = (
        Entry("Data", "expected a finite value label", "label again"),
        Entry("Data", "expected at most 48 tokens", "shorten the prompt"),
    )
    assert explain("expected at most 48 tokens, got 60", entries)[0].advice == "shorten the prompt"
    assert explain("the moon is made of cheese", entries) == []


def test_every_row_is_read(tmp_path):
    page = tmp_path / "failures.md"
    page.write_text("## Data\n\n| message | what to do |\n|---|---|\n| lost `--x a\\|b` | find it |\n\ntext\n")
    assert read_entries(page) == (Entry("Data", "lost `--x a\\|b`", "find it"),)


def test_the_command(capsys):
    command.main(["expected", "a", "finite", "value", "label"])
    assert "label" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="found nothing like 'purple monkey dishwasher'"):
        command.main(["purple monkey dishwasher"])


def test_a_page_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="expected the page of error messages at"):
        read_entries(tmp_path / "none.md")
