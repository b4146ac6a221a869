import numpy as np
import pytest
import torch

from inferlab.data.base import Samples
from inferlab.train.accuracy import BATCH_SIZE, accuracy, predicted_labels
from train.tiny import halves, tiny_model


def test_every_sample_is_predicted_once_and_in_order() -> None:
    torch.set_num_threads(1)
    model, samples = tiny_model(), halves(2 * BATCH_SIZE + 7, 9)
    module = model.architecture().train()
    together = predicted_labels(module, model, samples)
    alone = [predicted_labels(module, model, samples.take(np.array([index])))[0] for index in (0, BATCH_SIZE, -1)]
    assert len(together) == len(samples)
    assert not module.training
    assert together[[0, BATCH_SIZE, -1]].tolist() == alone


def test_accuracy_is_the_share_of_right_labels() -> None:
    model, samples = tiny_model(), halves(64, 9)
    module = model.architecture()
    predicted = predicted_labels(module, model, samples)
    assert accuracy(module, model, Samples(samples.raw, predicted)) == 1.0
    labels = predicted.copy()
    labels[:16] = 1 - labels[:16]
    assert accuracy(module, model, Samples(samples.raw, labels)) == pytest.approx(0.75)
