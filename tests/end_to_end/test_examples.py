"""The examples, run as a person runs them, and what they leave behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from saliency_callbacks.sinks import read_index, read_maps

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_example(name: str, directory: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TORCH_HOME": str(directory / "empty_cache"),
    }
    completed = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr[-3000:]
    return completed.stdout


def shares_on_the_sticker(output: str) -> dict[str, tuple[int, int]]:
    rows = re.findall(r"^(\w+) +(\d+)% → +(\d+)%", output, flags=re.MULTILINE)
    return {method: (int(before), int(after)) for method, before, after in rows}


@pytest.mark.timeout(400)
def test_the_heatmaps_move_onto_the_sticker(tmp_path):
    output = run_example("digits_with_a_shortcut.py", tmp_path, "--epochs", "3")
    shares = shares_on_the_sticker(output)
    assert set(shares) == {"gradient", "integrated_gradients", "hires_cam", "layer_cam"}
    for method, (before, after) in shares.items():
        assert after >= 1.5 * before, f"{method}: {before}% → {after}%"
    assert re.search(r"^the alarm fired in epoch [12]$", output, flags=re.MULTILINE)
    assert "--samples_per_plugin images=1000" in output

    run = tmp_path / "lightning_logs" / "digits_with_a_shortcut" / "version_0"
    events = EventAccumulator(str(run), size_guidance={"images": 0}).Reload()
    assert len(events.Images("saliency/hires_cam")) == 4
    assert "saliency/hires_cam/region_lift" in events.Tags()["scalars"]
    index = read_index(run / "saliency")
    assert [entry["stage"] for entry in index["observations"]] == ["initial", *["fit"] * 3, "final"]
    assert read_maps(run / "saliency", index["observations"][-2])["gradient/values"].shape == (12, 3, 48, 48)


def test_the_control_run_does_not_look_at_the_sticker_more_than_at_the_start(tmp_path):
    output = run_example("digits_with_a_shortcut.py", tmp_path, "--no-sticker", "--epochs", "2")
    before, after = shares_on_the_sticker(output)["gradient"]
    assert after <= 2 * before
    assert "the alarm stayed silent" in output


def test_a_background_sets_the_alarm_off_and_the_groups_confirm_it(tmp_path):
    output = run_example("digits_on_backgrounds.py", tmp_path, "--epochs", "5")
    assert re.search(r"^the alarm fired in epoch [1-3];", output, flags=re.MULTILINE)
    (small,) = re.findall(r"^\| `small` \| \d+ \| ([\d.]+)% \| ([\d.]+)% \|$", output, flags=re.MULTILINE)
    assert float(small[1]) < float(small[0]) - 20, "on grass, small digits are taken for large ones"


def test_natural_templates_are_found(tmp_path):
    """The black frame that pieces of scans are cut from, which nobody has planted."""
    output = run_example("faces_and_backgrounds.py", tmp_path)
    found = re.findall(
        r"^- (.+): in \d+% of class (\w+) .*; .* shifts them towards \w+ by (\d\.\d+) sd$", output, re.MULTILINE
    )
    effects = {(what, name): float(effect) for what, name, effect in found}
    assert effects["the same pixels", "background"] > 0.5
    run = tmp_path / "lightning_logs" / "faces_and_backgrounds" / "version_0"
    events = EventAccumulator(str(run), size_guidance={"images": 0}).Reload()
    assert any(tag.startswith("shortcuts/copies-background-") for tag in events.Tags()["images"])


def test_balanced_backgrounds_do_not(tmp_path):
    output = run_example("digits_on_backgrounds.py", tmp_path, "--epochs", "3", "--balanced")
    assert "the alarm stayed silent" in output


def test_a_torchvision_model_without_cached_weights(tmp_path):
    output = run_example("mobilenet_on_photographs.py", tmp_path, "--epochs", "1", "--crops", "8")
    assert "starting from random ones" in output
    run = tmp_path / "lightning_logs" / "mobilenet_on_photographs" / "version_0"
    index = read_index(run / "saliency")
    assert index["observations"][0]["methods"]["layer_cam"]["layer"] == "net.features"


@pytest.mark.timeout(400)
def test_a_word_that_gives_the_class_away(tmp_path):
    output = run_example("docstrings_with_a_giveaway.py", tmp_path, "--epochs", "2")
    rows = re.findall(r"^ +\d +(\d+)% +([\d.]+) +[\d.]+ +(\d+)% +(\d+)% +(on|off)$", output, flags=re.MULTILINE)
    accuracy, effect, flips, share, alarm = rows[-1]
    assert int(accuracy) > 45, "of four classes a quarter is chance"
    assert float(effect) > 2
    assert (int(flips) > 80, int(share) > 30, alarm) == (True, True, "on")
    assert "the alarm fired in epoch 1" in output
    (files,) = re.findall(r"^\| `files` \| \d+ \| ([\d.]+)% \| ([\d.]+)% \|$", output, flags=re.MULTILINE)
    assert float(files[1]) < 10, "with the word, sentences about files are taken for numbers"
    run = tmp_path / "lightning_logs" / "docstrings_with_a_giveaway" / "version_0"
    assert (run / "report.html").is_file()
    events = EventAccumulator(str(run), size_guidance={"images": 0, "tensors": 0}).Reload()
    assert len(events.Images("tokens/input_x_gradient")) == 3
    assert "randomization/gradient_norm/floor" in events.Tags()["scalars"]
    index = read_index(run / "tokens")
    words = index["probe"]["tokens"]
    marked = [row for row, text in enumerate(words) if text[0] == "nb"]
    scores = read_maps(run / "tokens", index["observations"][-1])["integrated_gradients/values"][marked, 0]
    assert len(scores) == 4, "a quarter of the probe is of that class"
    assert scores.nan_to_num(0).argmax(dim=1).tolist() == [0] * 4, "where it is, the word speaks most for the class"


@pytest.mark.timeout(400)
def test_the_same_word_in_every_class_does_not(tmp_path):
    output = run_example("docstrings_with_a_giveaway.py", tmp_path, "--epochs", "2", "--no-giveaway")
    assert "the alarm stayed silent" in output


@pytest.mark.timeout(400)
def test_a_bert_from_a_configuration_without_a_network(tmp_path):
    output = run_example("tiny_bert.py", tmp_path, "--epochs", "2")
    assert int(re.findall(r"validation accuracy (\d+)%", output)[0]) > 40, "of four classes a quarter is chance"
    assert len(re.findall(r"^\| `(?:network|numbers|files|texts)` \| `[a-z]+` \|", output, flags=re.MULTILINE)) == 16
    run = tmp_path / "lightning_logs" / "tiny_bert" / "version_0"
    assert (run / "report.html").is_file()
    index = read_index(run / "tokens")
    assert index["observations"][0]["metadata"]["embedding"] == "bert.bert.embeddings.word_embeddings"
    assert all(text[0] == "[CLS]" and text[-1] == "[SEP]" for text in index["probe"]["tokens"])
    assert not any(word.startswith("##") for text in index["probe"]["tokens"] for word in text), "pieces make words"
