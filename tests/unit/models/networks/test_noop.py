import torch

from inferlab.models.networks.noop import ConstantEmbedding


def test_each_item_of_a_batch_gets_its_own_zeroes() -> None:
    output = ConstantEmbedding(7)(torch.ones(3, 5, dtype=torch.int64))
    assert output.shape == (3, 7)
    assert output.dtype == torch.float32
    assert not output.any()
