"""Small transformers of several libraries, with random weights, by name."""

from __future__ import annotations

import timm
import torch
import transformers
from torch import nn
from torchvision.models import VisionTransformer

__all__ = ["TEXTS", "VISION", "images", "texts", "timm_vit"]

_TIMM = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 3}
_HF = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_HF_IMAGES = {**_HF, "image_size": 16, "patch_size": 4, "num_labels": 3}
_HF_TEXTS = {**_HF, "vocab_size": 30, "max_position_embeddings": 20, "num_labels": 3, "pad_token_id": 0}


def timm_vit(**changes):
    return timm.models.vision_transformer.VisionTransformer(**{**_TIMM, **changes})


def torchvision_vit():
    model = VisionTransformer(16, 4, 2, 2, 16, 32, num_classes=3)
    nn.init.normal_(model.heads.head.weight)
    return model


def of_timm(make):
    """Return how to make a model with fused attention, or with a softmax."""

    def made(is_fused):
        model = make()
        for module in model.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = is_fused
        return model

    return made


def of_transformers(kind, config, **settings):
    def made(is_fused):
        return kind(config(attn_implementation="sdpa" if is_fused else "eager", **settings))

    return made


class Encoder(nn.Module):
    """PyTorch's own encoder, whose attention is told whether its weights are wanted."""

    def __init__(self, is_fused, batch_first=True):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, stride=4)
        self.blocks = nn.ModuleList(nn.MultiheadAttention(16, 2, batch_first=batch_first) for _ in range(2))
        self.head = nn.Linear(16, 3)
        self.is_fused, self.batch_first = is_fused, batch_first

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = tokens if self.batch_first else tokens.transpose(0, 1)
        for block in self.blocks:
            tokens = tokens + block(tokens, tokens, tokens, need_weights=not self.is_fused)[0]
        return self.head(tokens.mean(dim=1 if self.batch_first else 0))


VISION = {
    "timm": of_timm(timm_vit),
    "timm, mean of patches": of_timm(lambda: timm_vit(global_pool="avg")),
    "timm, registers": of_timm(lambda: timm_vit(reg_tokens=4)),
    "timm, distilled": of_timm(lambda: timm.models.deit.VisionTransformerDistilled(**_TIMM)),
    "timm, pooled by attention": of_timm(lambda: timm_vit(global_pool="map", class_token=False)),
    "MultiheadAttention": Encoder,
    "MultiheadAttention, sequence first": lambda is_fused: Encoder(is_fused, batch_first=False),
    "ViT": of_transformers(transformers.ViTForImageClassification, transformers.ViTConfig, **_HF_IMAGES),
    "DeiT": of_transformers(transformers.DeiTForImageClassificationWithTeacher, transformers.DeiTConfig, **_HF_IMAGES),
    "CLIP": of_transformers(
        transformers.CLIPForImageClassification,
        transformers.CLIPConfig,
        vision_config={**_HF, "image_size": 16, "patch_size": 4},
        text_config={**_HF, "vocab_size": 30},
        num_labels=3,
    ),
}
TEXTS = {
    "BERT": of_transformers(transformers.BertForSequenceClassification, transformers.BertConfig, **_HF_TEXTS),
    "RoBERTa": of_transformers(transformers.RobertaForSequenceClassification, transformers.RobertaConfig, **_HF_TEXTS),
    "ALBERT": of_transformers(
        transformers.AlbertForSequenceClassification, transformers.AlbertConfig, embedding_size=8, **_HF_TEXTS
    ),
    "DistilBERT": of_transformers(
        transformers.DistilBertForSequenceClassification,
        transformers.DistilBertConfig,
        vocab_size=30,
        dim=16,
        n_layers=2,
        n_heads=2,
        hidden_dim=32,
        num_labels=3,
        pad_token_id=0,
    ),
    "Llama, grouped queries": of_transformers(
        transformers.LlamaForSequenceClassification,
        transformers.LlamaConfig,
        **{**_HF_TEXTS, "num_attention_heads": 4, "num_key_value_heads": 2},
    ),
}


def images(n_samples=2):
    return torch.randn(n_samples, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def texts():
    ids = torch.tensor([[5, 9, 3, 7, 4, 8], [6, 2, 9, 5, 0, 0]])
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}
