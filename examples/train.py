"""Train a small network on handwritten digits: an ordinary script that knows nothing of Whet.

whet run examples/train.py lr=loguniform[1e-4:1e-1] -n 10 -j 2 --minimize val_loss
"""

from __future__ import annotations

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lr", type=float, default=0.01, help="learning rate")
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--hidden", type=int, default=64, help="units of the hidden layer")
    parser.add_argument("--activation", choices=["relu", "tanh"], default="relu")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    args = parser.parse_args()

    torch.manual_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels))
    x, y = torch.tensor(pixels, dtype=torch.float32)[order] / 16, torch.tensor(labels)[order]

    activation = nn.ReLU() if args.activation == "relu" else nn.Tanh()
    net = nn.Sequential(nn.Linear(64, args.hidden), activation, nn.Linear(args.hidden, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=args.momentum)
    for epoch in range(args.epochs):
        for batch in torch.randperm(1200).split(args.batch_size):
            optimizer.zero_grad()
            cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            logits = net(x[1200:])
        print(f"epoch: {epoch}")
        print(f"val_loss: {cross_entropy(logits, y[1200:]).item():.4f}")
        print(f"val_accuracy: {(logits.argmax(1) == y[1200:]).float().mean().item():.4f}")


if __name__ == "__main__":
    main()
