"""The report of the cue experiments, in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from benchmarks.cue_experiments.settings import (
    BINARY,
    BRIGHTNESS,
    CORNERS,
    LATE,
    N_PROBE,
    N_TRAIN,
    PATCH,
    STATISTICS,
    THRESHOLD,
    Experiment,
)
from benchmarks.cue_experiments.tables import count, latest, mean, mean_and_range, median, table
from benchmarks.cue_experiments.training import Run, bounds_by_class

__all__ = ["Runs", "report"]

Runs = Callable[[Experiment], list[Run]]
"""Makes the runs of an experiment, one a seed."""


def report(runs_of: Runs, seeds: int, epochs: int) -> str:
    """Run every experiment and return the tables and what they show, as Markdown.

    Args:
        runs_of: Makes the runs of an experiment, one a seed.
        seeds: How many those are.
        epochs: Epochs of each.
    """
    sections = (_patch_section, _corner_section, _late_section, _brightness_section, _binary_section)
    opening = f"""# Does the cue alarm tell shortcuts from no shortcuts?

Generated; do not edit it by hand. To repeat it: `python -m benchmarks.cue_experiments --write docs/cue_experiments.md`,
here with `--seeds {seeds} --epochs {epochs}`.

A small network (conv16, conv32, max-pool, fc64, fc10; Adam, learning rate 0.001, batches of 64) learns scikit-learn's
8×8 digits ({N_TRAIN} images) in a real Trainer for {epochs} epochs, with {seeds} seeds for every setting. A cue is put
into a share q of the training images of the suspect class, and into a share r of all others. `CueAlarm` watches with
its default threshold ({THRESHOLD}) and patience (2) on {N_PROBE} images without the cue; all but those of the
suspect class count. Numbers are means over the runs, with the range in brackets, after the last epoch unless another is
named. Epochs are counted from 1, so an alarm can fire in epoch 2 at the earliest.
"""
    return "\n".join([opening, *(section(runs_of, epochs) for section in sections)])


def _patch_section(runs_of: Runs, epochs: int) -> str:
    results = [(experiment, runs_of(experiment)) for experiment in PATCH]
    silent, used = ([run for _, runs in part for run in runs] for part in (results[:2], results[2:]))
    first = [run.watch.fired for run in used]
    columns = {
        "(q, r)": [experiment.name for experiment, _ in results],
        "effect": [_last(runs, "effect") for _, runs in results],
        "contrast": [_last(runs, "contrast") for _, runs in results],
        "lower bound": [_last(runs, "lower_bound") for _, runs in results],
        "flip rate, epoch 1": [mean(run.watch.after(1, "flip_rate") for run in runs) for _, runs in results],
        f"flip rate, epoch {epochs}": [mean(run.watch.last("flip_rate") for run in runs) for _, runs in results],
        "mass": [mean(run.watch.last("mass") for run in runs) for _, runs in results],
        "lift": [mean(run.watch.last("lift") for run in runs) for _, runs in results],
        "worst group": [_worst(runs) for _, runs in results],
        **_firing([runs for _, runs in results]),
    }
    clean = [max(bounds_by_class(run.net, PATCH[0].cue)) for run in results[0][1]]
    return f"""## A white patch in a corner

A 2×2 white patch in the upper left corner; the suspect is class 0. Mass and lift are those of the patch in gradient
maps of images that have it; chance is {4 / 64:.4f} and 1. The worst group is the class with the lowest accuracy on
the validation set, without or with the patch.

{table(columns)}

- Never planted, or uninformative: {_alarms(silent)}. The largest lower bound of any epoch is
  {max(max(run.watch.scores["lower_bound"]) for run in silent):.2f}. False alarms: {_false_alarms(results[:2])}.
  A seed has the same initial weights in every setting.
- Informative about the class: {_alarms(used)}; median {median(first)}.
- The flip rate is no substitute: it fades while the effect stays. The patch keeps pushing towards the class even when
  the strokes of the digit outweigh it.
- The worst group also falls without a shortcut: a patch that was never seen confuses a model. It confirms an alarm, but
  does not replace one.
- Name the class beforehand: with every class as the suspect in turn, models that never saw the patch reach a largest
  lower bound of {mean_and_range(clean)}, and it is above the threshold in
  {sum(bound > THRESHOLD for bound in clean)} of {len(clean)}.
"""


def _corner_section(runs_of: Runs, epochs: int) -> str:
    results = {corner: runs_of(Experiment(cue=cue)) for corner, cue in CORNERS.items()}
    columns = {
        "corner": list(results),
        "effect": [_last(runs, "effect") for runs in results.values()],
        "lower bound": [_last(runs, "lower_bound") for runs in results.values()],
        **_firing(list(results.values())),
    }
    return f"""## Where the patch is, on networks that never saw one

{table(columns)}

- A cue that looks like part of the suspect class's objects speaks for that class without any shortcut: a stroke in
  that corner is evidence. The alarm cannot tell that from a shortcut; a cue-free control run can.
"""


def _late_section(runs_of: Runs, epochs: int) -> str:
    clean, cued = (runs_of(experiment) for experiment in LATE)
    start = LATE[1].first_epoch
    shown = range(start - 1, min(start + 3, epochs) + 1)
    columns = {"after epoch": [f"{epoch}" for epoch in shown]}
    for name, runs in (("clean", clean), ("contaminated", cued)):
        columns[f"effect, {name}"] = [
            mean_and_range(run.watch.after(epoch, "effect") for run in runs) for epoch in shown
        ]
    for name, runs in (("clean", clean), ("contaminated", cued)):
        columns[f"drift, {name}"] = [
            mean_and_range((run.drift[epoch - 1] for run in runs), digits=3) for epoch in shown
        ]
    drifts = [run.drift[epoch - 1] for run in cued for epoch in shown[1:]]
    early = max(run.drift[epoch - 1] for run in clean for epoch in range(2, start))
    usual = max(run.drift[epoch - 1] for run in clean for epoch in shown)
    return f"""## The patch comes late

The same patch with (q, r) = (1, 0), but only from epoch {start} on, alongside runs that never see it. The drift is
`saliency/gradient/drift_previous` of a `SaliencyMonitor` on the same cue-free images: 1 - Spearman correlation with the
maps of the epoch before.

{table(columns)}

- The effect rises by {mean_and_range(_rise(run, start) for run in cued)} from epoch {start - 1} to {start + 2};
  clean, by {mean_and_range(_rise(run, start) for run in clean)}.
- From epoch {start} on, contaminated: {_alarms(cued, start)}.
  Clean: {_alarms(clean, start)}.
- The drift is blind to it. From epoch {shown[1]} to {shown[-1]}, consecutive maps of contaminated runs keep a Spearman
  correlation of {1 - max(drifts):.3f} to {1 - min(drifts):.3f};
  {sum(drift <= usual for drift in drifts)} of these {len(drifts)} drifts are no larger than the largest of the clean
  runs in the epochs shown ({usual:.3f}). The largest of them is {max(drifts):.3f}, where clean runs drift by up to
  {early:.3f} in epochs 2 to {start - 1}: no threshold separates the cue from learning.
"""


def _brightness_section(runs_of: Runs, epochs: int) -> str:
    results = [(experiment, runs_of(experiment)) for experiment in BRIGHTNESS]
    columns = {
        "cue": [f"`{experiment.cue!r}`" for experiment, _ in results],
        "(q, r)": [experiment.name for experiment, _ in results],
        "effect": [_last(runs, "effect") for _, runs in results],
        "contrast": [_last(runs, "contrast") for _, runs in results],
        "effect alarms": [count([run.watches["effect"].fired for run in runs]) for _, runs in results],
        "contrast alarms": [count([run.watches["contrast"].fired for run in runs]) for _, runs in results],
        "mass": [mean(run.watch.last("mass") for run in runs) for _, runs in results],
        "lift": [mean(run.watch.last("lift") for run in runs) for _, runs in results],
        "worst group": [_worst(runs) for _, runs in results],
    }
    clean, used = (
        {
            statistic: [
                run.watches[statistic].fired
                for experiment, runs in results
                if (experiment.name == "never") == is_clean
                for run in runs
            ]
            for statistic in STATISTICS
        }
        for is_clean in (True, False)
    )
    return f"""## A brighter or darker image

Cues that change the whole image, or everything but the strokes of the digit; the suspect is class 0.

{table(columns)}

- Such a change moves every class, in clean models as well. Of those, {count(clean["effect"])} raised an alarm by the
  effect, and {count(clean["contrast"])} by the contrast.
- Of the models trained with an informative cue, {count(used["effect"])} raised an alarm by the effect,
  and {count(used["contrast"])} by the contrast.
- The contrast is the better statistic for a global cue, and `statistic="auto"` uses it there; but it is no cure:
  a change that favors one class on its own favors it in a clean model too, and a weak shortcut can stay below the
  threshold. Run a cue-free control where you can.
- The region of the cue is the image or most of it, so mass and lift are at or near chance.
"""


def _binary_section(runs_of: Runs, epochs: int) -> str:
    results = [runs_of(experiment) for experiment in BINARY]
    columns = {
        "suspect class": [("below 5", "5 or more")[experiment.suspect] for experiment in BINARY],
        "effect": [_last(runs, "effect") for runs in results],
        "flip rate": [_last(runs, "flip_rate") for runs in results],
        "worst group": [_worst(runs) for runs in results],
        "average accuracy": [mean_and_range(run.groups.average for run in runs) for runs in results],
        **_firing(results),
    }
    return f"""## Two classes: does an alarm mean that the model fails?

Digits below 5 against 5 or more, and the patch with (q, r) = (1, 0). Accuracy is measured on the whole validation set,
each image once without and once with the patch; the groups are the two classes without and with it.

{table(columns)}

One group table, of the first run with class "below 5" as the suspect:

{results[0][0].groups.table(("below 5", "5 or more").__getitem__)}
"""


def _false_alarms(results: Sequence[tuple[Experiment, Sequence[Run]]]) -> str:
    named = [
        f"{experiment.name} with seed {seed}"
        for experiment, runs in results
        for seed, run in enumerate(runs)
        if run.watch.fired is not None
    ]
    return "; ".join(named) or "none"


def _rise(run: Run, start: int) -> float:
    return run.watch.after(start + 2, "effect") - run.watch.after(start - 1, "effect")


def _last(runs: Sequence[Run], name: str) -> str:
    return mean_and_range(run.watch.last(name) for run in runs)


def _worst(runs: Sequence[Run]) -> str:
    return mean_and_range(run.groups.worst for run in runs)


def _firing(results: Sequence[Sequence[Run]]) -> dict[str, list[str]]:
    fired = [[run.watch.fired for run in runs] for runs in results]
    return {
        "alarms": [count(epochs) for epochs in fired],
        "first alarm, median epoch": [median(epochs) for epochs in fired],
        "latest": [latest(epochs) for epochs in fired],
    }


def _alarms(runs: Sequence[Run], start: int = 1) -> str:
    """Say in how many runs the alarm was on from an epoch on, since when, and how many end with it."""
    on_in = [[epoch for epoch, on in enumerate(run.watch.scores["alarm"], 1) if on and epoch >= start] for run in runs]
    fired = [min(epochs, default=None) for epochs in on_in]
    counts = Counter(sorted(epoch for epoch in fired if epoch is not None))
    if not counts:
        return f"an alarm in {count(fired)} runs"
    when = ", ".join(f"{epoch} ({count} run{'s' if count > 1 else ''})" for epoch, count in counts.items())
    on = sum(run.watch.last("alarm") for run in runs)
    return f"an alarm in {count(fired)} runs, first in epoch {when}; on after the last epoch in {on:.0f}"
