import pytest
import torch

from inferlab.models.networks.minilm import BERT_BASE, MiniLMClassifier


@pytest.fixture(scope="module")
def module() -> MiniLMClassifier:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return MiniLMClassifier(3).eval()


def test_the_size_is_that_of_the_package_without_its_pooler(module: MiniLMClassifier) -> None:
    # 22,713,216 with the pooler's 384 x 384 + 384, and the head's 384 x 3 + 3.
    assert sum(parameter.numel() for parameter in module.parameters()) == 22_713_216 - 147_840 + 1_155


def test_the_size_of_bert_base_is_that_of_bert_without_its_pooler() -> None:
    # The head's 768 x 1000 + 1000 beside what transformers counts with add_pooling_layer=False.
    with torch.device("meta"):
        module = MiniLMClassifier(1000, BERT_BASE)
    assert sum(parameter.numel() for parameter in module.parameters()) == 108_891_648 + 769_000


def test_masked_tokens_have_no_say(module: MiniLMClassifier) -> None:
    ids = torch.tensor([[101, 2204, 2143, 102, 7, 8]])
    others = torch.tensor([[101, 2204, 2143, 102, 900, 901]])
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    with torch.no_grad():
        assert torch.allclose(module(ids, mask), module(others, mask), atol=1e-6)
        assert not torch.allclose(module(ids, torch.ones_like(mask)), module(others, torch.ones_like(mask)), atol=1e-3)


def test_an_empty_text_gives_finite_logits(module: MiniLMClassifier) -> None:
    with torch.no_grad():
        logits = module(torch.zeros(1, 6, dtype=torch.int64), torch.zeros(1, 6, dtype=torch.int64))
    assert logits.isfinite().all()
