"""Explain one model of every family of timm, torchvision and transformers, with the automatic layer.

Usage::

    python -m benchmarks.zoo [--package NAME] [--only FAMILY ...] [--table PATH]

For each model, with random weights: the gradient is compared with autograd by hand, the layer may not be inside an
attention, and its map lies on a grid that the model's layers have, or one pooled from it. The exit status
is 1 if any of it fails. A run over everything writes ``docs/zoo.md``.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.zoo_models import Exhibit, exhibits, unlisted_families
from saliency_callbacks import explain

__all__ = ["Finding", "main", "visit"]

_TABLE = Path(__file__).parents[1] / "docs" / "zoo.md"
_TARGET = 3


@dataclass(frozen=True)
class Finding:
    """What was found of one model.

    Args:
        exhibit: The model.
        layer: Name of the automatic layer.
        grid: Size of its map.
        size: Size of the image.
        seconds: What explaining one image took, by the clock of the CPU.
        failures: What is wrong.
    """

    exhibit: Exhibit
    layer: str = ""
    grid: tuple[int, ...] = ()
    size: int = 0
    seconds: float = 0.0
    failures: tuple[str, ...] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Visit the chosen models; return 1 if any fails."""
    given = _parser().parse_args(arguments)
    chosen = [
        exhibit
        for exhibit in exhibits()
        if given.package in (None, exhibit.package) and (not given.only or exhibit.family in given.only)
    ]
    findings = []
    for exhibit in chosen:
        findings.append(visit(exhibit))
        print(_row(findings[-1]), *findings[-1].failures, sep="  ", flush=True)
    is_whole = given.package is None and not given.only
    missing = unlisted_families() if is_whole else []
    for family in missing:
        print(f"timm has the family {family}, which is not in benchmarks/zoo_models.py", file=sys.stderr)
    if is_whole or given.table:
        (given.table or _TABLE).write_text(table(findings), encoding="utf-8")
    return int(bool(missing) or any(finding.failures for finding in findings))


def visit(exhibit: Exhibit) -> Finding:
    """Explain one random image with one model, and check what comes out."""
    torch.manual_seed(0)
    try:
        model, size = exhibit.make()
        model.eval()
        _fill_zero_weights(model)
        image = torch.randn(1, 3, size, size)
        begin = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = explain(
                model, image, methods=["grad_cam", "gradient"], target=_TARGET, target_layers="auto",
                output_fn=exhibit.logits,
            )  # fmt: skip
        seconds = time.process_time() - begin
        layer, grid = str(found["grad_cam"].layer), tuple(found["grad_cam"].values.shape[2:])
        failures = (
            *_wrong_gradient(model, image, exhibit, found["gradient"].values),
            *_inside_attention(model, layer),
            *_unknown_grid(model, image, grid),
        )
    except Exception as error:
        return Finding(exhibit, failures=(f"{type(error).__name__}: {error}",))
    return Finding(exhibit, layer, grid, size, seconds, failures)


def table(findings: Sequence[Finding]) -> str:
    """Return the page with one row a model."""
    lines = [
        "# The automatic layer, by family of models",
        "",
        'What `target_layers="auto"` takes in one model of every family of timm and torchvision and in some of',
        "transformers, with random weights, on one image and one thread. `python -m benchmarks.zoo` writes this page.",
        "It compares each gradient with autograd by hand, and fails where a layer is inside an attention, or a grid is",
        "none of the model's.",
        "",
        "| package | family | model | image | layer | grid | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_row, findings), ""])


def _row(finding: Finding) -> str:
    exhibit = finding.exhibit
    grid = "×".join(map(str, finding.grid)) or "none"
    cells = (exhibit.package, exhibit.family, exhibit.name, finding.size, f"`{finding.layer}`", grid)
    return f"| {' | '.join(map(str, cells))} | {finding.seconds:.1f} |"


def _fill_zero_weights(model: nn.Module) -> None:
    # A head of zeros, as vision transformers have it, has no gradient to compare.
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim >= 2 and not weight.any():
                nn.init.normal_(weight, std=0.02)


def _wrong_gradient(model: nn.Module, image: Tensor, exhibit: Exhibit, found: Tensor) -> list[str]:
    rows = image.clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(exhibit.logits(model(rows))[:, _TARGET].sum(), rows)
    error = (found - expected).abs().max() / expected.abs().max()
    return [] if error < 1e-4 else [f"the gradient differs from autograd's by {float(error):.1e} of its maximum"]


def _inside_attention(model: nn.Module, layer: str) -> list[str]:
    modules = dict(model.named_modules())
    parents = [layer.rsplit(".", depth)[0] for depth in range(1, layer.count(".") + 1)]
    # A block holds an attention among other things.
    around = [
        type(modules[parent]).__name__
        for parent in parents
        if re.search("attn|attention", type(modules[parent]).__name__, re.IGNORECASE)
        and not re.search("block|layer|stage|encoder", type(modules[parent]).__name__, re.IGNORECASE)
    ]
    return [f"{layer} is inside {name}" for name in around]


def _unknown_grid(model: nn.Module, image: Tensor, grid: tuple[int, ...]) -> list[str]:
    sizes: set[tuple[int, ...]] = set()

    def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            sizes.add(tuple(output.shape[2:]))

    handles = [module.register_forward_hook(note) for module in model.modules() if type(module).__name__.endswith("2d")]
    with torch.no_grad():
        model(image)
    for handle in handles:
        handle.remove()
    # Some patches are cut out and flattened before a linear layer.
    patches = {getattr(module, "patch_size", None) for module in model.modules()}
    for patch in patches:
        height, width = patch if isinstance(patch, tuple) else (patch, patch)
        if isinstance(height, int) and isinstance(width, int):
            sizes.add((image.shape[2] // height, image.shape[3] // width))
    for _ in range(3):
        sizes |= {tuple(-(-side // 2) for side in size) for size in sizes}
        sizes |= {tuple(side // 2 for side in size) for size in sizes}
    return [] if grid in sizes else [f"the grid {grid} is none of the model's"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--package", choices=("timm", "torchvision", "transformers"), help="only models of this package"
    )
    parser.add_argument("--only", nargs="+", metavar="FAMILY", help="only these families")
    parser.add_argument("--table", type=Path, help="where the table of a partial run is written")
    return parser


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
