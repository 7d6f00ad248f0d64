"""The command line: ``saliency-callbacks demo | methods | replay | report``.

A mistake in what was asked for is one line on the standard error, and exit code 2.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentError, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from saliency_callbacks import __version__
from saliency_callbacks.errors import ConfigurationError, nearest_names

__all__ = ["build_parser", "main"]

_PROGRAM = "saliency-callbacks"


class _HelpFormatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):  # type: ignore[misc, unused-ignore]
    """Keep the line breaks of descriptions, in which there are examples."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _check_command(given)
        parsed = build_parser().parse_args(given)
        _COMMANDS[parsed.command](parsed[parsed.command])
    except (ArgumentError, ConfigurationError) as error:
        print(f"{_PROGRAM}: error: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def build_parser() -> ArgumentParser:
    """Return the parser of all commands."""
    parser = _parser(
        f"""Explain a model while it trains, and after.

examples:
  {_PROGRAM} demo
  {_PROGRAM} methods
  {_PROGRAM} replay --config config.yaml --checkpoints checkpoints/
  {_PROGRAM} report lightning_logs/version_0""",
        prog=_PROGRAM,
        version=__version__,
    )
    commands = parser.add_subcommands(dest="command", required=True)
    commands.add_subcommand("demo", _demo_parser(), help="train a network that falls for a shortcut, and watch it")
    commands.add_subcommand("methods", _methods_parser(), help="list the methods: cost, needs, and sanity")
    commands.add_subcommand("replay", _replay_parser(), help="observe a training after the fact, from checkpoints")
    commands.add_subcommand("report", _report_parser(), help="make one HTML file of a run, or of two side by side")
    return parser


def _parser(description: str, **settings: Any) -> ArgumentParser:
    return ArgumentParser(
        description=description,
        formatter_class=_HelpFormatter,
        exit_on_error=False,
        allow_abbrev=False,
        default_env=False,
        **settings,
    )


def _demo_parser() -> ArgumentParser:
    parser = _parser(
        f"""Train a small network on digits where every 0 bears a sticker, and watch it fall for the sticker.

SaliencyMonitor, RandomizationTest and CueAlarm are attached. It takes about a minute on a CPU, needs
scikit-image, prints what was found, and says where the pictures are.

examples:
  {_PROGRAM} demo --epochs 8 --directory /tmp/demo
  {_PROGRAM} demo --clean"""
    )
    parser.add_argument("--epochs", type=int, default=8, help="epochs of training, at least 1")
    parser.add_argument("--directory", type=str, default="lightning_logs", help="logs go to demo/version_N in it")
    parser.add_argument("--clean", action="store_true", help="the control: no 0 bears the sticker")
    return parser


def _methods_parser() -> ArgumentParser:
    parser = _parser(
        f"""List the methods: what they cost, what they need, and whether their maps depend on the weights.

"passes" counts how often a sample goes forward and backward; all methods of one pass share it. The last columns are
measured on two small networks for digits, whichever is worse: s, the similarity of the maps of trained and random
weights, and its floor s0, that of two random networks. Above 0.3 the maps show the picture, not the model. It is a test
that a method passes or not, and no ranking; RandomizationTest does it on your model.

examples:
  {_PROGRAM} methods
  {_PROGRAM} methods grad_cam guided_backprop --json"""
    )
    parser.add_argument("names", nargs="*", type=str, help="methods to list; all by default")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def _replay_parser() -> ArgumentParser:
    parser = _parser(
        f"""Make the observations of a training after the fact, from its checkpoints.

CONFIG is that of a LightningCLI: model (class_path, init_args), data, and trainer with our callbacks among its
`callbacks`; several files override one another in their order. Modules are found from the directory in which the
command is run. The logs (TensorBoard, raw maps) are those that the training would have written: same probe, schedule,
tags, epochs and steps. The start of the training is observed too if there is a checkpoint of step 0, or the
configuration names a seed (`seed_everything: 0`), so that the initial weights can be drawn again.

examples:
  {_PROGRAM} replay --config lightning_logs/version_0/config.yaml --checkpoints lightning_logs/version_0/checkpoints
  {_PROGRAM} replay --config model.yaml configs/full.yaml --checkpoints a.ckpt b.ckpt --output replayed"""
    )
    parser.add_argument("--config", nargs="+", type=str, required=True, help="configuration files of a LightningCLI")
    parser.add_argument(
        "--checkpoints", nargs="+", type=str, required=True, help="checkpoint files, and directories of *.ckpt files"
    )
    parser.add_argument(
        "--output", type=str, default=None, help="a new directory for the logs; lightning_logs/replay/version_N if none"
    )
    parser.add_argument(
        "--trust-checkpoints",
        action="store_true",
        help="also read checkpoints that hold more than tensors and plain values; code that is hidden in them runs",
    )
    return parser


def _report_parser() -> ArgumentParser:
    parser = _parser(
        f"""Make one HTML file, to be opened in a browser or sent to somebody, of what a run left on disk.

examples:
  {_PROGRAM} report lightning_logs/version_0
  {_PROGRAM} report lightning_logs/version_0 lightning_logs/version_1 -o comparison.html"""
    )
    parser.add_argument("run", type=str, help="directory of a run, with its maps below it")
    parser.add_argument("other", nargs="?", type=str, help="directory of a run to compare it with")
    parser.add_argument("-o", "--output", type=str, default=None, help="the file; in the run's directory by default")
    parser.add_argument("--max-megabytes", type=float, default=15.0, help="size that the file should not exceed")
    return parser


def _demo(given: Namespace) -> None:
    if given.epochs < 1:
        raise ConfigurationError(f"epochs={given.epochs}; expected a whole number of at least 1")
    result = import_module("saliency_callbacks.demo").run_demo(
        given.directory, epochs=given.epochs, is_patched=not given.clean
    )
    print("", *result.lines, sep="\n")
    print(f"\nlogs and raw maps:  {result.directory}")
    print(f"report:             {_write_report([result.directory])}")
    print(f"in TensorBoard:     {_tensorboard(result.directory)}")


def _methods(given: Namespace) -> None:
    catalog = import_module("saliency_callbacks.methods.catalog")
    facts = {fact.name: fact for fact in catalog.describe_methods()}
    names = given.names or facts
    for name in names:
        if name not in facts:
            raise ConfigurationError(f"method {name!r} is unknown; {nearest_names(name, facts)}")
    chosen = [facts[name] for name in names]
    print(json.dumps([fact.to_dict() for fact in chosen], indent=1) if given.json else catalog.as_table(chosen))


def _replay(given: Namespace) -> None:
    replay = import_module("saliency_callbacks.replay")
    # As `python train.py` would: the user's own modules are here.
    sys.path.insert(0, str(Path.cwd()))
    checkpoints, left_out = replay.find_checkpoints(given.checkpoints, is_trusted=given.trust_checkpoints)
    run = replay.load_run(given.config, given.output)
    for line in left_out:
        print(line)
    if checkpoints[0].global_step > 0 and not run.is_untrained:
        print("the start of the training is not observed: no checkpoint has step 0, and the config names no seed")
    done = replay.replay(run.trainer, run.module, checkpoints, datamodule=run.datamodule, is_untrained=run.is_untrained)
    for identity, number in done.observations.items():
        print(f"{identity}: {number} observations of {len(checkpoints)} checkpoints")
    print(f"logs and raw maps:  {run.directory}")
    print(f"in TensorBoard:     {_tensorboard(run.directory)}")


def _report(given: Namespace) -> None:
    runs = [Path(run) for run in (given.run, given.other) if run is not None]
    for run in runs:
        if not run.is_dir():
            raise ConfigurationError(f"run={str(run)!r} does not exist; expected the directory of a run")
    path = _write_report(runs, given.output, max_megabytes=given.max_megabytes)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


def _write_report(runs: Sequence[Path], output: str | None = None, **settings: Any) -> Path:
    path: Path = import_module("saliency_callbacks.report").write_report(runs, output, **settings)
    return path


def _tensorboard(directory: Path) -> str:
    shown = f"'{directory}'" if " " in str(directory) else str(directory)
    return f"tensorboard --logdir {shown} --samples_per_plugin images=1000"


_COMMANDS: dict[str, Callable[[Namespace], None]] = {
    "demo": _demo,
    "methods": _methods,
    "replay": _replay,
    "report": _report,
}


def _check_command(given: Sequence[str]) -> None:
    if not given:
        raise ConfigurationError(f"no command was given; expected one of {', '.join(_COMMANDS)}, or --help")
    if not given[0].startswith("-") and given[0] not in _COMMANDS:
        raise ConfigurationError(f"command {given[0]!r} is unknown; {nearest_names(given[0], _COMMANDS)}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
