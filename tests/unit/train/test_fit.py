import pytest
import torch

from inferlab.errors import InferlabError
from inferlab.train.accuracy import accuracy
from inferlab.train.fit import fit
from train.tiny import TinyModel, fit_options, halves, tiny_model


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def trained(seed: int, **changes: object) -> tuple[torch.nn.Module, dict[str, float], TinyModel]:
    model = tiny_model()
    torch.manual_seed(0)
    module = model.architecture()
    return module, fit(module, model, halves(128, 0), fit_options(**changes), seed, "fit tiny"), model


def test_training_teaches() -> None:
    module, result, model = trained(1)
    assert result["last_loss"] < 0.2 < result["first_loss"]
    assert result["steps"] == 4 * 128 / 16
    assert accuracy(module, model, halves(64, 9)) > 0.95
    assert not module.training


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    first, second, other = trained(1)[0], trained(1)[0], trained(2)[0]
    assert all(torch.equal(one, two) for one, two in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.state_dict()["conv.weight"], other.state_dict()["conv.weight"])


def test_weights_come_back_in_the_usual_memory_order() -> None:
    module = trained(1, epochs=1)[0]
    assert all(parameter.is_contiguous() for parameter in module.parameters())


def test_a_loss_that_is_not_finite_stops_with_the_learning_rate() -> None:
    with pytest.raises(InferlabError, match=r"fit tiny: the loss is .* lower learning_rate, which is 1e\+30"):
        trained(1, learning_rate=1e30)


def test_bf16_autocast_trains_as_well() -> None:
    module, _, model = trained(1, autocast="bf16")
    assert accuracy(module, model, halves(64, 9)) > 0.95


@pytest.mark.parametrize("samples", range(2, 20))
def test_a_training_of_a_few_steps_ends(samples: int) -> None:
    model = tiny_model()
    options = fit_options(epochs=1, batch_size=2)
    assert fit(model.architecture(), model, halves(samples, 0), options, 0, "fit tiny")["steps"] == samples // 2


@pytest.mark.parametrize(("epochs", "steps"), [(0.5, 4), (1.25, 10), (0.01, 1)])
def test_a_part_of_an_epoch_is_a_share_of_its_batches(epochs: float, steps: int) -> None:
    assert trained(1, epochs=epochs)[1]["steps"] == steps


@pytest.mark.parametrize(("samples", "momentum"), [(16, 0.625), (512, 0.1)])
def test_statistics_follow_a_short_training_and_keep_their_own_momentum_else(samples: int, momentum: float) -> None:
    """8 and 256 steps: a fifth of the first is 1.6 of them, of the second more than the 10 of momentum 0.1."""
    model = tiny_model()
    module = model.architecture()
    norm = module.get_submodule("norm")
    seen: list[float] = []
    norm.register_forward_hook(lambda *_: seen.append(norm.momentum))
    fit(module, model, halves(samples, 0), fit_options(epochs=1, batch_size=2), 0, "fit tiny")
    assert seen == pytest.approx([momentum] * len(seen))
    assert norm.momentum == 0.1
