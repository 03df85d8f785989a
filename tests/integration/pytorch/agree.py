#!/usr/bin/python3
"""Trains the same network in PyTorch and in nn, from the same weights on the same batches.

usage: agree.py FOLLOW          FOLLOW: the program built from follow.c

Every step's loss must agree within 1e-4 relative, and the weights after the last step within 1e-2
of their largest: where a ReLU's input is next to zero, the last bit of a sum, which differs from
processor to processor, decides whether it passes. All optimizers, all activations, both losses, one and two threads. Exit code 77
where there is no PyTorch (Debian: python3-torch).
"""
import os
import struct
import subprocess
import sys
import tempfile

try:
    import torch
except ImportError:
    print("skipped: PyTorch is not installed (apt-get install python3-torch)")
    sys.exit(77)

STEPS, BATCH = 50, 64
LOSS_TOLERANCE, WEIGHT_TOLERANCE = 1e-4, 1e-2
ACTIVATIONS = [torch.nn.ReLU, torch.nn.GELU, torch.nn.Tanh, torch.nn.Sigmoid]
# rate, momentum, decay, beta1, beta2, epsilon: by which gradients that are but rounding move nothing
OPTIMIZERS = [
    ("sgd", (0.05, 0.9, 1e-3, 0, 0, 0)),
    ("adam", (2e-3, 0, 1e-3, 0.9, 0.999, 1e-5)),
    ("adamw", (2e-3, 0, 0.1, 0.9, 0.999, 1e-5)),
]
LOSSES = ["cross_entropy", "mean_squared_error"]


def make_optimizer(name, settings, parameters):
    rate, momentum, decay, beta1, beta2, epsilon = settings
    if name == "sgd":
        return torch.optim.SGD(parameters, rate, momentum, weight_decay=decay)
    kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    return kind(parameters, rate, (beta1, beta2), epsilon, weight_decay=decay)


def make_model(widths, activation):
    layers = []
    for index in range(len(widths) - 1):
        layers.append(torch.nn.Linear(widths[index], widths[index + 1]))
        if index + 2 < len(widths):
            layers.append(activation())
    return torch.nn.Sequential(*layers)


def make_batches(widths, loss):
    """Targets that a network of the same shape can learn, so that losses fall."""
    teacher = make_model(widths, torch.nn.Tanh)
    for _ in range(STEPS):
        x = torch.randn(BATCH, widths[0])
        with torch.no_grad():
            z = teacher(x)
        yield x, (z.argmax(1) if loss == "cross_entropy" else z)


def raw(tensor, kind=torch.float32):
    return tensor.detach().to(kind).contiguous().numpy().tobytes()


def write_job(path, widths, codes, settings, model, batches):
    with open(path, "wb") as file:
        file.write(struct.pack("<8i", len(widths) - 1, *codes, STEPS, BATCH, 0, 0))
        file.write(struct.pack(f"<{len(widths)}i", *widths))
        file.write(struct.pack("<6d", *settings))
        for parameter in model.parameters():
            file.write(raw(parameter))
        for x, y in batches:
            file.write(raw(x))
            file.write(raw(y, torch.int32 if y.dtype == torch.int64 else torch.float32))


def train_torch(model, optimizer, loss, batches):
    loss_of = torch.nn.CrossEntropyLoss() if loss == "cross_entropy" else torch.nn.MSELoss()
    losses = []
    for x, y in batches:
        optimizer.zero_grad(set_to_none=True)
        value = loss_of(model(x), y)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses, torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def train_ours(follow, path, threads):
    output = subprocess.run([follow, path, str(threads)], stdout=subprocess.PIPE, check=True)
    numbers = [float(line) for line in output.stdout.split()]
    return numbers[:STEPS], torch.tensor(numbers[STEPS:])


def compare(name, theirs, ours):
    """True if both agree; prints a line either way."""
    loss = max(abs(a - b) / abs(a) for a, b in zip(theirs[0], ours[0]))
    weight = ((theirs[1] - ours[1]).abs().max() / theirs[1].abs().max()).item()
    fell = theirs[0][-1] < 0.98 * theirs[0][0]  # or there was nothing to agree about
    good = loss <= LOSS_TOLERANCE and weight <= WEIGHT_TOLERANCE and fell
    print(f"{'ok ' if good else 'BAD'} {name:45} loss {theirs[0][0]:.4f} to {theirs[0][-1]:.4f}, "
          f"difference {loss:.1e}; weights {weight:.1e}", flush=True)
    return good


def check(follow, path, activation, optimizer, loss, threads):
    torch.manual_seed(1)
    widths = [40, 96, 64, 10] if threads == 1 else [200, 256, 256, 10]
    name, settings = OPTIMIZERS[optimizer]
    model = make_model(widths, ACTIVATIONS[activation])
    batches = list(make_batches(widths, loss))
    write_job(path, widths, (activation, optimizer, LOSSES.index(loss)), settings, model, batches)
    theirs = train_torch(model, make_optimizer(name, settings, model.parameters()), loss, batches)
    title = f"{name} {ACTIVATIONS[activation].__name__} {loss}, threads {threads}"
    return compare(title, theirs, train_ours(follow, path, threads))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    good = True
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "job")
        for optimizer in range(len(OPTIMIZERS)):
            for activation in range(len(ACTIVATIONS)):
                for threads in (1, 2):
                    good &= check(sys.argv[1], path, activation, optimizer, LOSSES[0], threads)
            good &= check(sys.argv[1], path, 2, optimizer, LOSSES[1], 1)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
