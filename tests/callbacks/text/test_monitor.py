import pytest
import torch

from saliency_callbacks import ModelReading, TokenSaliencyMonitor
from saliency_callbacks.errors import ConfigurationError


def test_a_transform_of_spatial_maps_is_refused():
    with pytest.raises(ConfigurationError, match=r"reading\.reshape_transform is for class activation maps"):
        TokenSaliencyMonitor(reading=ModelReading(reshape_transform=torch.relu))


def test_the_embedding_layer_is_found_unless_it_is_named():
    assert TokenSaliencyMonitor().settings.tokens.embedding == "auto"
    named = TokenSaliencyMonitor(reading=ModelReading(embedding="net.words"))
    assert named.settings.tokens.embedding == "net.words"
