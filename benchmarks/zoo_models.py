"""The models of the zoo: the smallest of every family, with random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Exhibit", "exhibits", "unlisted_families"]

_SIZE = 224
_CLASSES = 10


@dataclass(frozen=True)
class Exhibit:
    """One model of a family.

    Args:
        package: Where it is from.
        family: Its family, as its package names it.
        name: The model.
        make: Makes it, and the size of the images that it takes.
        logits: Reads its output.
    """

    package: str
    family: str
    name: str
    make: Callable[[], tuple[nn.Module, int]]
    logits: Callable[[Any], Tensor]


# The smallest of each family by parameters times pixels.
_TIMM = {
    "beit": "beit_base_patch16_224",
    "byoanet": "halonet_h1",
    "byobnet": "test_byobnet",
    "cait": "cait_xxs24_224",
    "coat": "coat_tiny",
    "convit": "convit_tiny",
    "convmixer": "convmixer_768_32",
    "convnext": "test_convnext",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "deepseek_vit": "deepseek_vit_412m",
    "deit": "deit_tiny_patch16_224",
    "densenet": "densenet121",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "test_efficientnet",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "eva": "eva02_tiny_patch14_224",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny",
    "gemma4_vit": "gemma4_vit_167m",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hiera": "hiera_tiny_224",
    "hieradet_sam2": "hieradet_small",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128",
    "lowformer": "lowformer_b0",
    "mambaout": "test_mambaout",
    "maxxvit": "test_coatnet",
    "metaformer": "poolformer_s12",
    "mlp_mixer": "gmixer_12_224",
    "mobilenetv3": "mobilenetv3_small_050",
    "mobilenetv5": "mobilenetv5_base",
    "mobilevit": "mobilevit_xxs",
    "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_siglip",
    "nasnet": "nasnetalarge",
    "nest": "nest_tiny",
    "nextvit": "nextvit_small",
    "nfnet": "test_nfnet",
    "pit": "pit_xs_224",
    "pnasnet": "pnasnet5large",
    "pvt_v2": "pvt_v2_b0",
    "qwen3_vit": "qwen3_vit_88m",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m1",
    "res2net": "res2next50",
    "resnest": "resnest14d",
    "resnet": "test_resnet",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "sequencer": "sequencer2d_s",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window8_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_224",
    "tiny_vit": "tiny_vit_5m_224",
    "tnt": "tnt_s_legacy_patch16_224",
    "tresnet": "tresnet_m",
    "twins": "twins_svt_small",
    "vgg": "vgg11",
    "visformer": "visformer_tiny",
    "vision_transformer": "test_vit",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "test_vit_relpos",
    "vision_transformer_sam": "samvit_base_patch16_224",
    "vitamin": "vitamin_small_224",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception": "legacy_xception",
    "xception_aligned": "xception41p",
    "xcit": "xcit_nano_12_p8_224",
}
_TORCHVISION = {
    "alexnet": "alexnet",
    "convnext": "convnext_tiny",
    "densenet": "densenet121",
    "efficientnet": "efficientnet_b0",
    "googlenet": "googlenet",
    "inception": "inception_v3",
    "maxvit": "maxvit_t",
    "mnasnet": "mnasnet0_5",
    "mobilenetv2": "mobilenet_v2",
    "mobilenetv3": "mobilenet_v3_small",
    "regnet": "regnet_y_400mf",
    "resnet": "resnet18",
    "shufflenetv2": "shufflenet_v2_x0_5",
    "squeezenet": "squeezenet1_1",
    "swin_transformer": "swin_t",
    "vgg": "vgg11",
    "vision_transformer": "vit_b_16",
}
_SMALL = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
_STAGES = {"hidden_sizes": [16, 32, 32, 64], "depths": [1, 1, 1, 1]}
_TRANSFORMERS: dict[str, dict[str, Any]] = {
    "Beit": _SMALL,
    "ConvNext": _STAGES,
    "DeiT": _SMALL,
    "Dinov2": _SMALL,
    "FocalNet": {"embed_dim": 32, "depths": [1, 1, 1, 1]},
    "MobileViT": {},
    "PoolFormer": _STAGES,
    "ResNet": {"embedding_size": 16, **_STAGES, "layer_type": "basic"},
    "Segformer": {**_STAGES, "num_attention_heads": [1, 2, 2, 4]},
    "Swin": {"embed_dim": 32, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 4]},
    "ViT": _SMALL,
}


def exhibits() -> Iterator[Exhibit]:
    """Yield one model of every family of timm and torchvision, and some of transformers."""
    for family, name in _TIMM.items():
        yield Exhibit("timm", family, name, partial(_of_timm, name), _as_it_is)
    for family, name in _TORCHVISION.items():
        yield Exhibit("torchvision", family, name, partial(_of_torchvision, name), _as_it_is)
    for family, settings in _TRANSFORMERS.items():
        name = f"{family}ForImageClassification"
        yield Exhibit("transformers", family, name, partial(_of_transformers, family, settings), attrgetter("logits"))


def _as_it_is(output: Any) -> Tensor:
    logits: Tensor = output
    return logits


def unlisted_families() -> list[str]:
    """Return families that the installed timm has, but not the zoo."""
    import timm

    return sorted(set(timm.list_modules()) - set(_TIMM))


def _of_timm(name: str) -> tuple[nn.Module, int]:
    import timm

    own_size = timm.get_pretrained_cfg(name).input_size[-1]
    if own_size <= _SIZE:
        return timm.create_model(name, num_classes=_CLASSES), own_size
    for settings in ({"img_size": _SIZE}, {}):
        try:
            model = timm.create_model(name, num_classes=_CLASSES, **settings)
        except TypeError:
            continue
        if _runs(model, _SIZE):
            return model, _SIZE
    return timm.create_model(name, num_classes=_CLASSES), own_size


def _of_torchvision(name: str) -> tuple[nn.Module, int]:
    import torchvision

    settings = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(name, weights=None, num_classes=_CLASSES, **settings)
    return model, _SIZE


def _of_transformers(family: str, settings: dict[str, Any]) -> tuple[nn.Module, int]:
    import transformers

    config = getattr(transformers, f"{family}Config")(num_labels=_CLASSES, **settings)
    return getattr(transformers, f"{family}ForImageClassification")(config), _SIZE


def _runs(model: nn.Module, size: int) -> bool:
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, 3, size, size))
    except (AssertionError, RuntimeError):
        return False
    return True
