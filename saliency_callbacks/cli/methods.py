"""``saliency-callbacks methods``: the list of methods."""

from __future__ import annotations

import json
from importlib import import_module

from jsonargparse import ArgumentParser, Namespace

from saliency_callbacks.cli.parsing import PROGRAM, Command, make_parser
from saliency_callbacks.errors import ConfigurationError, nearest_names

__all__ = ["METHODS"]

_OTHERS = (
    "of other libraries, and your own: CaptumMethod, ZennitMethod, GradCamMethod, TorchCamMethod, ExternalMethod; see "
    "docs/other_libraries.md"
)


def _parser() -> ArgumentParser:
    parser = make_parser(
        f"""List the methods: what they cost, what they need, and whether their maps depend on the weights.

"passes" counts forward and backward passes per sample; all single-pass methods share one pass. The last columns were
measured on two small digit networks, of which the worse is shown: the similarity s between the maps of the trained
model and those of random copies, and its floor s0, the similarity between two random copies. Above a floor of 0.3, the
maps show the input, not the model. Methods pass or fail this test; it does not rank them. RandomizationTest runs it on
your model. Beside them "del" and "ins" are the gains over the same map elsewhere when what a map shows is removed
first, or shown alone, and "stab" is the rank correlation with the maps of noisy samples; the lower of both networks. A high gain
does not show that a map is right: methods that fail the test of sanity gain, too. FaithfulnessTest measures them on
your model.

examples:
  {PROGRAM} methods
  {PROGRAM} methods grad_cam guided_backprop --json"""
    )
    parser.add_argument("names", nargs="*", type=str, help="methods to list; all by default")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def _run(given: Namespace) -> None:
    catalog = import_module("saliency_callbacks.methods.catalog")
    facts = {fact.name: fact for fact in catalog.describe_methods()}
    names = given.names or facts
    for name in names:
        if name not in facts:
            raise ConfigurationError(f"method {name!r} is unknown; {nearest_names(name, facts)}")
    chosen = [facts[name] for name in names]
    if given.json:
        print(json.dumps([fact.to_dict() for fact in chosen], indent=1))
        return
    print(catalog.as_table(chosen))
    if not given.names:
        print(f"\n{_OTHERS}")


METHODS = Command("list the methods with their cost, requirements, sanity and faithfulness", _parser, _run)
