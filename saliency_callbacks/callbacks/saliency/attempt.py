"""An observation that falls back where it can, and says whose fault it is where it cannot."""

from __future__ import annotations

from operator import methodcaller

from torch import nn

from saliency_callbacks.callbacks.runtime import lightning as host
from saliency_callbacks.callbacks.runtime.observation import Moment, Observation, Surroundings
from saliency_callbacks.callbacks.runtime.preconditions import check_runs
from saliency_callbacks.callbacks.saliency.explain_probe import Observer
from saliency_callbacks.callbacks.saliency.state import MonitorState
from saliency_callbacks.capture.oom import is_out_of_memory
from saliency_callbacks.errors import LayerError, ObservationError, SaliencyError, SaliencyWarning

__all__ = ["attempt"]


def attempt(
    observer: Observer,
    model: nn.Module,
    moment: Moment,
    state: MonitorState,
    surroundings: Surroundings,
    *,
    may_simplify: bool,
) -> tuple[Observation[MonitorState], Observer]:
    """Make an observation; return it, and the observer to go on with.

    Args:
        observer: Makes the observation.
        model: The explained module.
        moment: When this is.
        state: State after the previous observation.
        surroundings: Of the Trainer.
        may_simplify: Whether methods that the model does not allow may be left out: those that need a target layer if
            there is none, those that need an input gradient if there is none. Only where nobody asked for them.

    Raises:
        ProbeError: If the model cannot be run on the probe at all.
        SaliencyError: If it can, but not be explained.
    """
    observe = methodcaller("observe", model, moment, state, surroundings)
    try:
        return observe(observer), observer
    except (LayerError, ObservationError) as error:
        simpler = observer.of_methods(needing_layers=isinstance(error, ObservationError))
        if not may_simplify or simpler is observer:
            raise
        left = ", ".join(method.name for method in simpler.settings.methods)
        host.rank_zero_warn(f"only {left} is computed: {error}", category=SaliencyWarning)
        return observe(simpler), simpler
    except SaliencyError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        inputs = surroundings.to_device(observer.probe.inputs)
        check_runs(model, inputs, observer.settings, surroundings.forward_context)
        raise
