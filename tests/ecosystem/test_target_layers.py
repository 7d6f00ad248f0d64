"""The automatic layer of models that others wrote."""

from __future__ import annotations

import pytest
import torch

from saliency_callbacks import explain
from saliency_callbacks.errors import LayerError

timm = pytest.importorskip("timm", reason="the ecosystem's packages are installed for `make test-ecosystem` alone")
transformers = pytest.importorskip("transformers", reason="as above")
vit_pytorch = pytest.importorskip("vit_pytorch", reason="as above")
smp = pytest.importorskip("segmentation_models_pytorch", reason="as above")
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("error::saliency_callbacks.errors.SaliencyWarning"),
    # What random weights make of a normalized layer may have no positive evidence anywhere.
    pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.DegenerateMapWarning"),
]


def strength(output):
    """Of random weights, the square has a gradient everywhere, and positive evidence somewhere."""
    return output.square().sum(1)


def auto(model, inputs, **settings):
    for weight in model.parameters():
        if weight.ndim >= 2 and not weight.any():
            torch.nn.init.normal_(weight, std=0.02)
    settings = {"methods": "layer_cam", "target": strength} | settings
    return explain(model.eval(), inputs, **settings)["layer_cam"]


@pytest.mark.parametrize(
    ("name", "layer", "grid"),
    [
        ("deit_tiny_patch16_224", "blocks.11.norm1", (14, 14)),
        ("cait_xxs24_224", "blocks_token_only.1.norm1", (14, 14)),
        ("crossvit_tiny_240", "blocks.2.fusion.1.norm1", (20, 20)),
        ("pit_ti_224", "transformers.2.blocks.3.norm1", (7, 7)),
        ("convit_tiny", "blocks.11.norm1", (14, 14)),
        ("xcit_nano_12_p16_224", "cls_attn_blocks.1.norm1", (14, 14)),
        ("coat_tiny", "parallel_blocks.5.norm14", (7, 7)),
        ("levit_128s", "stages", (4, 4)),
        ("test_vit", "blocks.5.norm1", (10, 10)),
        ("vit_base_patch32_clip_quickgelu_224", "blocks.11.norm1", (7, 7)),
    ],
)
def test_transformers_of_timm(name, layer, grid):
    torch.manual_seed(0)
    size = 240 if "240" in name else 160 if name == "test_vit" else 224
    found = auto(timm.create_model(name, num_classes=5), torch.rand(1, 3, size, size))
    assert (found.layer, found.values.shape[2:]) == (layer, grid)


SMALL = {"num_classes": 5, "dim": 32, "depth": 2, "heads": 4, "mlp_dim": 32, "image_size": 32, "patch_size": 8}


@pytest.mark.parametrize(
    ("module", "name", "layer"),
    [
        ("vit", "ViT", "transformer.layers.1.0.norm"),
        ("simple_vit", "SimpleViT", "transformer"),
        ("simple_vit_with_register_tokens", "SimpleViT", "transformer"),
        ("deepvit", "DeepViT", "transformer.layers.1.0.norm"),
        ("vit_for_small_dataset", "ViT", "transformer.layers.1.0.norm"),
    ],
)
def test_transformers_whose_patches_no_convolution_makes(module, name, layer):
    torch.manual_seed(0)
    model = getattr(pytest.importorskip(f"vit_pytorch.{module}"), name)(**SMALL)
    found = auto(model, torch.rand(1, 3, 32, 32))
    assert (found.layer, found.values.shape[2:]) == (layer, (4, 4))


def test_registers_behind_the_patches_are_no_patches():
    from vit_pytorch.simple_vit_with_register_tokens import SimpleViT

    torch.manual_seed(0)
    model, x = SimpleViT(**SMALL, num_register_tokens=4), torch.rand(1, 3, 32, 32)
    norm = "transformer.layers.1.0.norm"
    found = auto(model, x, target_layers=norm)
    kept = []
    model.get_submodule(norm).register_forward_hook(lambda module, args, output: kept.append(output))
    score = strength(model(x)).sum()
    (gradient,) = torch.autograd.grad(score, kept[0])
    expected = (gradient.relu() * kept[0]).sum(-1).relu()[:, :16].unflatten(1, (4, 4))
    torch.testing.assert_close(found.values[:, 0], expected.detach())


def test_the_queries_of_detr_are_no_picture():
    torch.manual_seed(0)
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1], layer_type="basic", out_features=["stage4"]
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False, backbone=None, backbone_config=backbone, d_model=16, num_queries=100, num_labels=3,
        encoder_layers=1, decoder_layers=2, encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2,
        decoder_attention_heads=2, use_pretrained_backbone=False,
    )  # fmt: skip
    # 10×10 places, and as many queries.
    model, x = transformers.DetrForObjectDetection(config), torch.rand(1, 3, 320, 320)
    target = lambda output: output.logits[..., 1].square().mean(1)  # noqa: E731
    found = auto(model, x, target=target)
    assert (found.layer, found.values.shape[2:]) == ("model.encoder", (10, 10))
    with pytest.raises(LayerError, match="not a spatial map"):
        auto(model, x, target=target, target_layers="model.decoder")


def test_the_latents_of_perceiver_are_no_picture():
    torch.manual_seed(0)
    config = transformers.PerceiverConfig(
        num_latents=64, d_latents=16, d_model=322, num_blocks=1, num_self_attends_per_block=1, num_labels=3,
        num_self_attention_heads=2, num_cross_attention_heads=1,
    )  # fmt: skip
    model = transformers.PerceiverForImageClassificationConvProcessing(config)
    found = auto(model, torch.rand(1, 3, 224, 224), target=lambda output: strength(output.logits))
    assert found.layer.endswith("layernorm2")
    assert found.values.shape[2:] == (55, 55)


def test_clip_is_explained_in_its_picture():
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**small, "vocab_size": 50, "max_position_embeddings": 8, "eos_token_id": 2, "pad_token_id": 1}
    vision = {**small, "image_size": 32, "patch_size": 8}
    model = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    prompts = torch.tensor([[3, 4, 5, 6, 7, 2], [3, 8, 9, 6, 7, 2]])
    inputs = {"pixel_values": torch.rand(1, 3, 32, 32), "input_ids": prompts}
    settings = {"attribute_to": "pixel_values", "target": lambda output: output.logits_per_image.square().sum(1)}
    found = auto(model, inputs, **settings)
    assert (found.layer, found.values.shape[2:]) == ("vision_model.encoder.layers.1.layer_norm1", (4, 4))
    with pytest.raises(
        LayerError, match=r"'text_model\.encoder' does not depend on the explained input 'pixel_values'"
    ):
        auto(model, inputs, target_layers="text_model.encoder", **settings)


@pytest.mark.parametrize("name", ["Unet", "FPN", "DeepLabV3Plus", "PSPNet", "Segformer"])
@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_segmentation_models_are_read_before_their_head(name, activation):
    torch.manual_seed(0)
    model = getattr(smp, name)("resnet18", encoder_weights=None, classes=1, activation=activation)
    x = torch.rand(1, 3, 64, 64)
    found = auto(model, x, target=lambda output: output.mean((1, 2, 3)))
    assert found.layer == "decoder"


def test_torchvision_models_for_segmentation_are_read_before_their_head():
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    model = torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=3)
    found = auto(model, torch.rand(1, 3, 64, 64), output_fn=lambda output: output["out"].mean((2, 3)))
    assert found.layer == "classifier.2"


def test_a_student_is_read_at_its_features():
    stfpm = pytest.importorskip("anomalib.models.image.stfpm.torch_model", reason="as above")
    torch.manual_seed(0)
    create = timm.create_model
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            timm, "create_model", lambda *args, **settings: create(*args, **{**settings, "pretrained": False})
        )
        model = stfpm.STFPMModel(backbone="resnet18", layers=["layer1", "layer2", "layer3"])
    found = auto(model, torch.rand(1, 3, 64, 64), target=lambda output: output.anomaly_map.mean((1, 2, 3)))
    assert found.layer == "student_model"
