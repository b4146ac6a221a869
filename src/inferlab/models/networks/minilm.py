"""MiniLM-L6 as a sentence classifier: a BERT encoder, the mean over a text's tokens, a linear head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inferlab.packages import hidden

with hidden("scipy", "torchao"):
    # transformers imports both where it finds them, for losses and quantizers that are not used here. That takes half a
    # second in each process, and torchao logs that its CUDA extensions do not load.
    from transformers import BertConfig, BertModel


def encoder_config() -> BertConfig:
    """The shape of nreimers/MiniLM-L6-H384-uncased, as its config.json gives it."""
    return BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        max_position_embeddings=512,
        # An epoch or two on new texts leave nothing to regularize, and random numbers cost a tenth of a step.
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="sdpa",  # type: ignore[call-arg]  # one of the keywords that the class takes unnamed
    )


class MiniLMClassifier(nn.Module):
    """Token ids and mask int64 [batch, tokens] -> logits float32 [batch, classes]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        config = encoder_config()
        # The head reads the mean of all tokens, so that the pooler of the first token would only be dead weight.
        self.encoder = BertModel(config, add_pooling_layer=False)
        self.classifier = nn.Linear(config.hidden_size, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=torch.finfo(hidden.dtype).eps)
        logits: Tensor = self.classifier(mean)
        return logits
