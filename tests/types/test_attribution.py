import torch

from saliency_callbacks.types import Attribution, RawMap


def test_a_raw_map_is_summed_over_its_channels_unless_it_says_otherwise():
    raw = RawMap(torch.zeros(2, 1, 3))
    assert (raw.reduction, raw.layer, raw.extras) == ("sum", None, {})


def test_on_the_cpu_an_attribution_keeps_its_facts():
    maps = torch.rand(2, 3)
    extras = {"delta": torch.rand(2)}
    given = Attribution("m", maps[:, None], maps, maps, torch.zeros(2), torch.rand(2), "layer", extras, "l2")
    moved = given.cpu()
    assert (moved.method, moved.layer, moved.reduction) == ("m", "layer", "l2")
    for part in ("values", "magnitude", "heatmap", "target", "score"):
        assert torch.equal(getattr(moved, part), getattr(given, part))
    assert torch.equal(moved.extras["delta"], extras["delta"])
