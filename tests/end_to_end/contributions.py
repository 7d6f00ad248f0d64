"""One new thing of each kind, written as ``CONTRIBUTING.md`` says: the files to change, and what changes in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["CONTRIBUTIONS", "Edit"]

Edit = Callable[[str], str]
"""From the text of a file to its new text; a file that does not exist has none."""


def swap(old: str, new: str) -> Edit:
    def edited(text: str) -> str:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        return text.replace(old, new)

    return edited


def before(anchor: str, new: str) -> Edit:
    return swap(anchor, new + anchor)


def after(anchor: str, new: str) -> Edit:
    return swap(anchor, anchor + new)


def file(text: str) -> Edit:
    def made(existing: str) -> str:
        assert not existing, "there is such a file already"
        return text

    return made


_CAM_FORMULA = '''\
def peak_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Peak-CAM: ReLU(Σ_k w_k A^k) with w_k the largest g^k over space."""
    maps, slopes = _aligned(activations, gradients)
    weights = slopes.amax(dim=_space(slopes), keepdim=True)
    return _rectified_sum(weights * maps, activations.dtype)


'''
_CAM_CLASS = '''\
@dataclass(frozen=True)
class PeakCAM(_ClassActivationMap):
    """Class activation map whose weights are the largest gradients."""

    formula: ClassVar[CamFormula] = staticmethod(cam.peak_cam)
    name: str = "peak_cam"


'''
_SCORE_FORMULA = '''\
def largest_share(maps: Tensor) -> Tensor:
    """Return the largest share max p of p = R / ΣR, ``[N]`` in [1/P, 1]."""
    return distribution(maps).flatten(1).amax(dim=1).to(score_dtype(maps))


'''
_SIMILARITY_FORMULA = '''\
def bray_curtis(a: Tensor, b: Tensor) -> Tensor:
    """Return 1 - Σ|a-b| / Σ|a+b| of each sample, ``[N]``; NaN where one is constant or not finite."""
    require_same_shape(a, b)
    left, right = widen(a).flatten(1), widen(b).flatten(1)
    similarity = 1 - (left - right).abs().sum(dim=1) / (left + right).abs().sum(dim=1)
    return similarity.masked_fill(degenerate(a) | degenerate(b), torch.nan).to(_common_dtype(a, b))


'''
_SINK = '''\
"""Tags to a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saliency_callbacks.types import Picture, Snapshot

__all__ = ["NotebookSink"]


class NotebookSink:
    """Write the tags of the pictures on a page for each moment.

    Args:
        logger: A ``NotebookLogger``, with ``pages``.
    """

    def __init__(self, logger: Any) -> None:
        self.pages = logger.pages

    def write(self, snapshot: Snapshot, pictures: Mapping[str, Picture]) -> None:
        """Write a page; see :class:`~saliency_callbacks.types.Sink`."""
        self.pages.append((snapshot.moment, [tag for tag, picture in pictures.items() if picture.size]))
'''
_SINK_IMPORT = "from saliency_callbacks.sinks.loggers.notebook import NotebookSink\n"
_SINK_IN_TESTS = """\
def notebook(directory, monkeypatch):
    return sinks.NotebookSink(type("NotebookLogger", (), {"pages": []})()), None


"""
_CUE = '''\
class FrameCue(CueSettings):
    """A white frame around the image.

    Args:
        width: Its width in pixels.
        name: ``{cue}`` in the logged tags.
    """

    def __init__(self, width: int, *, name: str | None = None) -> None:
        super().__init__(as_name(self, name, "frame"))
        self.width = width

    def insert(self, images: Tensor) -> Tensor:
        """Paint the frame."""
        return images.masked_fill(self.mask(images)[:, None], 1.0)

    def mask(self, images: Tensor) -> Tensor:
        """Return the frame."""
        inside = everywhere(images)
        inside[:, self.width : -self.width, self.width : -self.width] = False
        return inside


'''
_CALLBACK = '''\
"""The callback that shows how large the weights are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn
from typing_extensions import override

from saliency_callbacks.callbacks.base import ObservingCallback
from saliency_callbacks.callbacks.runtime.host import Host
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation
from saliency_callbacks.callbacks.runtime.settings import (Compute, ModelReading, Storage)
from saliency_callbacks.callbacks.runtime.state import RunState
from saliency_callbacks.probe.batch import ProbeBatch
from saliency_callbacks.types import Snapshot

__all__ = ["WeightMonitor"]


class WeightMonitor(ObservingCallback[RunState]):
    """Log the norm of all weights as ``weights/norm``."""

    state_type = RunState
    kinds: ClassVar[Mapping[str, type]] = {"storage": Storage}

    def __init__(self, probe: int = 4, *, storage: Storage = Storage()) -> None:
        super().__init__(
            probe=probe,
            every_n_epochs=1,
            reading=ModelReading(),
            compute=Compute(),
            storage=storage,
            sinks=(),
            on_error="raise",
            namespace="weights",
        )

    @override
    def _check_model(self, model: nn.Module) -> None:
        """Any model has weights, or none."""

    @override
    def _accept_probe(self, probe: ProbeBatch, host: Host) -> None:
        """Nothing is derived from it."""

    @override
    def _observe(self, model: nn.Module, moment: Moment, host: Host) -> Observation[RunState]:
        norms = [parameter.detach().norm() for parameter in model.parameters()]
        scores = {"weights/norm": float(torch.stack(norms).norm())}
        return Observation(
            Snapshot(moment.epoch, moment.step, moment.stage, attributions={}, scores=scores), self.state
        )
'''
_CALLBACK_HOME = "saliency_callbacks.callbacks.weights.monitor"
_CALLBACK_IN_TESTS = """\
def _weights(sink: MemorySink) -> L.Callback:
    from saliency_callbacks import WeightMonitor

    monitor = WeightMonitor(storage=Storage(save_maps=False))
    monitor.sinks = (sink,)
    return monitor


"""

CONTRIBUTIONS: dict[str, dict[str, Sequence[Edit]]] = {
    "method": {
        "saliency_callbacks/functional/cam.py": [
            after('"layer_cam", ', '"peak_cam", '),
            before("def xgrad_cam(", _CAM_FORMULA),
        ],
        "saliency_callbacks/methods/cam.py": [
            after('"LayerCAM", ', '"PeakCAM", '),
            before("@dataclass(frozen=True)\nclass XGradCAM(", _CAM_CLASS),
        ],
        "saliency_callbacks/methods/registry.py": [
            after("HiResCAM, LayerCAM, ", "PeakCAM, "),
            after('    "LeGrad",\n', '    "PeakCAM",\n'),
            after('    "LayerCAM": "cam",\n', '    "PeakCAM": "cam",\n'),
            after('    "xgrad_cam": partial(_make, "XGradCAM"),\n', '    "peak_cam": partial(_make, "PeakCAM"),\n'),
            after('    "xgrad_cam": Cost(1, (_MAP,)),\n', '    "peak_cam": Cost(1, (_MAP,)),\n'),
            after('    "xgrad_cam": Sanity("passes", 0.16, 0.04),\n', '    "peak_cam": Sanity("passes", 0.0, 0.0),\n'),
            after(
                '    "xgrad_cam": Faithfulness(0.5, 0.47, 0.97),\n', '    "peak_cam": Faithfulness(0.1, 0.1, 0.9),\n'
            ),
        ],
        "docs/methods.md": [before("| `xgrad_cam` |", "| `peak_cam` | ReLU(Σ_k w_k A^k), w_k = max g^k | 0 |\n")],
    },
    "score": {
        "saliency_callbacks/functional/concentration.py": [
            after('"gini"', ', "largest_share"'),
            before("def gini(", _SCORE_FORMULA),
        ],
        "saliency_callbacks/scores/concentration.py": [
            after("import entropy, gini", ", largest_share"),
            after('"gini": gini(magnitude)', ', "largest_share": largest_share(magnitude)'),
            after('"entropy": entropy, "gini": gini', ', "largest_share": largest_share'),
        ],
        "saliency_callbacks/report/metrics.py": [
            before(
                '    "region_mass": ',
                '    "largest_share": Metric("Share of the maximum", "1 a single pixel", 0, 1),\n',
            )
        ],
    },
    "similarity": {
        "saliency_callbacks/functional/similarity.py": [
            before('    "cosine",\n', '    "bray_curtis",\n'),
            before("def cosine(", _SIMILARITY_FORMULA),
        ],
        "saliency_callbacks/scores/similarities.py": [
            before("cosine, inner_products", "bray_curtis, "),
            after(
                '    Similarity("top_k", "magnitude", _reduced, top_k_overlap),\n',
                '    Similarity("bray_curtis", "magnitude", _reduced, bray_curtis),\n',
            ),
        ],
        "tests/scores/test_similarities.py": [
            after(
                '    "top_k": top_k,\n',
                '    "bray_curtis": lambda a, b: 1 - scipy.spatial.distance.braycurtis(a.ravel(), b.ravel()),\n',
            )
        ],
    },
    "sink": {
        "saliency_callbacks/sinks/loggers/notebook.py": [file(_SINK)],
        "saliency_callbacks/sinks/registry.py": [
            before("from saliency_callbacks.sinks.loggers.swanlab import", _SINK_IMPORT),
            before('    "SwanLabSink",\n', '    "NotebookSink",\n'),
            before('    "TensorBoardLogger": ', '    "NotebookLogger": NotebookSink,\n'),
        ],
        "tests/sinks/test_contract.py": [
            before("def tensorboard(directory", _SINK_IN_TESTS),
            before('    "TensorBoardSink": tensorboard,\n', '    "NotebookSink": notebook,\n'),
        ],
        "pyproject.toml": [after("[project.optional-dependencies]\n", 'notebook = ["notebook-logger>=1.0"]\n')],
    },
    "cue": {
        "saliency_callbacks/cues/basic.py": [
            after('"CueSettings", ', '"FrameCue", '),
            before("class FunctionCue(", _CUE),
        ],
        "saliency_callbacks/probe/__init__.py": [
            after("BrightnessCue, ChannelShiftCue, ", "FrameCue, "),
            before('    "FunctionCue",\n', '    "FrameCue",\n'),
        ],
        "tests/cues/test_basic.py": [before("    FunctionCue(invert),\n", "    probe.FrameCue(1),\n")],
    },
    "callback": {
        "saliency_callbacks/callbacks/weights/__init__.py": [file('"""The size of the weights."""\n')],
        "saliency_callbacks/callbacks/weights/monitor.py": [file(_CALLBACK)],
        "saliency_callbacks/__init__.py": [
            before("    from saliency_callbacks.probe.probe", f"    from {_CALLBACK_HOME} import WeightMonitor\n"),
            after('    "TokenSaliencyMonitor",\n', '    "WeightMonitor",\n'),
            before('    "data_randomization_test": ', f'    "WeightMonitor": "{_CALLBACK_HOME}",\n'),
        ],
        "pyproject.toml": [
            swap("faithfulness | randomization", "faithfulness | randomization | weights"),
            after('    "saliency_callbacks.callbacks.text",\n', '    "saliency_callbacks.callbacks.weights",\n'),
        ],
        "tests/trainer/test_non_interference.py": [
            before("def _token_monitor(", _CALLBACK_IN_TESTS),
            after('"make", [_monitor, _randomization, _cue_alarm', ", _weights"),
        ],
    },
}
"""Kind → file, relative to the repository → its edits."""
