"""The command line of the discovery benchmark."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import discovery
from benchmarks.discovery.experiments import in_order
from benchmarks.discovery.records import Record, append, read, write_csv
from benchmarks.discovery.report import report
from benchmarks.discovery.trial import run

__all__ = ["main"]

_RECORDS = Path(__file__).with_name("records.jsonl")


def main(arguments: Sequence[str] | None = None) -> None:
    """Do the runs that are not recorded yet, and write the report where that is asked for."""
    given = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    done = {(one.row, one.data, one.q, one.number) for one in read(given.records)}
    for experiment, number in in_order():
        key = (experiment.row, experiment.data, experiment.q if experiment.cues else 0.0, number)
        wanted = given.only is None or experiment.row in given.only
        if not wanted or given.report_only or (key in done and not given.again):
            continue
        records = run(experiment, number)
        append(given.records, records)
        for one in records:
            print(_line(one), flush=True)
    if given.write is not None:
        found = read(given.records)
        write_csv(given.write / "discovery.csv", found)
        costs = json.loads(given.costs.read_text(encoding="utf-8"))["rows"] if given.costs else ()
        (given.write / "discovery.md").write_text(report(found, costs), encoding="utf-8")


def _line(one: Record) -> str:
    verdict = "used" if one.is_used else "found" if one.is_found else "nothing"
    extra = f"; accused: {one.other_used}" if one.other_used else ""
    return f"{one.row}, {one.data}, q {one.q:g}, run {one.number}, epoch {one.epoch}: {verdict} {one.what} {extra}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.discovery", description=(discovery.__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--records", type=Path, default=_RECORDS, metavar="PATH", help="JSON lines; these runs are done"
    )
    parser.add_argument("--only", nargs="+", metavar="ROW", help="do the runs of some lines of the table alone")
    parser.add_argument("--again", action="store_true", help="repeat what is recorded")
    parser.add_argument("--report-only", action="store_true", help="do no runs")
    parser.add_argument("--costs", type=Path, metavar="PATH", help="what benchmarks.run --only discovery measured")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="where the report goes, such as docs/evidence")
    return parser
