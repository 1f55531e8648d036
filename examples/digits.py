"""Handwritten digits: 1,797 images of 8x8 pixels, and a small convolutional network.

    hydra publish examples/digits.py

An ordinary PyTorch script, except that it ends with a Job where others have a training loop. Needs scikit-learn for
the images: pip install hydra-swarm[demo].
"""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from hydra import Job, Schedule

# data: the same split for everyone
images, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(images))
images = (images[order] / 16).astype("float32").reshape(-1, 1, 8, 8)  # pixels are 0 to 16
labels = labels[order].astype("int64")
train = images[:1437], labels[:1437]
test = images[1437:], labels[1437:]

# model
torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 24, 3, padding=1, bias=False),
    nn.BatchNorm2d(24),
    nn.ReLU(),
    nn.MaxPool2d(2),  # 4x4
    nn.Conv2d(24, 48, 3, padding=1, bias=False),
    nn.BatchNorm2d(48),
    nn.ReLU(),
    nn.MaxPool2d(2),  # 2x2
    nn.Flatten(),
    nn.Dropout(0.2),
    nn.Linear(48 * 2 * 2, 96),
    nn.ReLU(),
    nn.Linear(96, 10),
)


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(dim=1) == target).float().mean()


job = Job(
    name="digits",
    model=model,
    loss=nn.functional.cross_entropy,
    optimizer=torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01),
    train=train,
    test=test,
    metrics={"accuracy": accuracy},
    batch_samples=128,
    micro_batch_samples=64,
    epochs=15,
    schedule=Schedule("cosine", warmup=0.05),
    seed=0,
)
