"""PyTorch, unmodified: training steps of several shapes, and inference.

Sizes are such that a step takes a tenth to a third of a second on one core and 60 to 250 MiB.
PyTorch is loaded inside the functions, after the environment has been set for it.
"""
import functools
import random
import threading

from registry import add_to

WORKLOADS = []
workload = functools.partial(add_to, WORKLOADS, (("torch", "python3-torch"),))


def load_torch(threads):
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    return torch


def drawn(number, low, high):
    """An integer that depends on the step's number alone."""
    return random.Random(number).randint(low, high)


class Training:
    """A model under Adam; `batch`, if a step has one, makes its inputs and targets by its number."""

    def __init__(self, torch, model, batch=None, loss=None):
        self.model, self.batch = model, batch
        self.loss = loss or torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(self, number):
        self.update(*self.batch(number))

    def update(self, inputs, targets):
        self.forget()
        self.loss(self.model(inputs), targets).backward()
        self.optimizer.step()

    def forget(self):
        self.optimizer.zero_grad(set_to_none=True)

    def parts(self):
        return self.step, self.forget


def labelled(torch, classes, *shape):
    """A batch of noise and its labels; the first dimension is the batch."""
    return torch.randn(*shape), torch.randint(0, classes, shape[:1])


@workload(steps=9, two_threads=True)
def mlp(threads):
    """large GEMMs and Adam: few sizes, 2 to 16 MiB, most of it alive across steps"""
    torch = load_torch(threads)
    nn = torch.nn
    model = nn.Sequential(nn.Linear(1024, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(),
                          nn.Linear(2048, 10))
    return Training(torch, model, lambda _: labelled(torch, 10, 512, 1024)).parts()


@workload(steps=9)
def wide(threads):
    """element-wise work on activations of 32 MiB: bound by memory"""
    torch = load_torch(threads)
    nn = torch.nn
    model = nn.Sequential(nn.Linear(64, 4096), nn.GELU(), nn.LayerNorm(4096), nn.Dropout(0.1),
                          nn.Linear(4096, 16))
    return Training(torch, model, lambda _: labelled(torch, 16, 2048, 64)).parts()


@workload(steps=15, two_threads=True)
def varlen(threads):
    """a transformer encoder over sequences of another length in every step"""
    torch = load_torch(threads)
    nn = torch.nn

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(128, 4, 512, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2)
            self.head = nn.Linear(128, 10)

        def forward(self, tokens):
            return self.head(self.encoder(tokens).mean(dim=1))

    def batch(number):
        return labelled(torch, 10, 16, drawn(number, 16, 256), 128)
    return Training(torch, Classifier(), batch).parts()


@workload(steps=9, two_threads=True)
def conv(threads):
    """convolutions of oneDNN and batch normalisation on images"""
    torch = load_torch(threads)
    nn = torch.nn

    def block(channels_in, channels_out):
        return [nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.BatchNorm2d(channels_out),
                nn.ReLU()]
    model = nn.Sequential(*block(3, 32), *block(32, 32), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                          nn.Linear(32, 10))
    return Training(torch, model, lambda _: labelled(torch, 10, 32, 3, 64, 64)).parts()


@workload(steps=1001, small=True)
def tiny(threads):
    """a network of 130 weights: small blocks only, the interpreter's time"""
    torch = load_torch(threads)
    nn = torch.nn
    model = nn.Sequential(nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 2))
    return Training(torch, model, lambda _: labelled(torch, 2, 1, 10)).parts()


@workload(steps=15)
def lstm(threads):
    """a two-layer LSTM over texts of another length in every step"""
    torch = load_torch(threads)
    nn = torch.nn

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(2000, 128)
            self.lstm = nn.LSTM(128, 192, num_layers=2, batch_first=True)
            self.head = nn.Linear(192, 12)

        def forward(self, words):
            return self.head(self.lstm(self.embedding(words))[0]).transpose(1, 2)

    def batch(number):
        shape = (32, drawn(number, 12, 120))
        return torch.randint(0, 2000, shape), torch.randint(0, 12, shape)
    return Training(torch, Tagger(), batch).parts()


@workload(steps=9)
def unet(threads):
    """an encoder and a decoder with skip connections: activations of falling, then rising size"""
    torch = load_torch(threads)
    nn = torch.nn

    def block(channels_in, channels_out):
        return nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, padding=1),
                             nn.GroupNorm(4, channels_out), nn.ReLU())

    class UNet(nn.Module):
        def __init__(self, widths=(16, 32, 64)):
            super().__init__()
            inputs = (3,) + widths[:-1]
            self.down = nn.ModuleList(block(a, b) for a, b in zip(inputs, widths))
            self.bottom = block(widths[-1], widths[-1])
            self.up = nn.ModuleList(block(2 * width, max(width // 2, widths[0]))
                                    for width in reversed(widths))
            self.head = nn.Conv2d(widths[0], 2, 1)

        def forward(self, images):
            skips, x = [], images
            for down in self.down:
                x = down(x)
                skips.append(x)
                x = nn.functional.max_pool2d(x, 2)
            x = self.bottom(x)
            for up in self.up:
                x = nn.functional.interpolate(x, scale_factor=2)
                x = up(torch.cat([x, skips.pop()], dim=1))
            return self.head(x)

    def batch(_):
        return torch.randn(8, 3, 96, 96), torch.randint(0, 2, (8, 96, 96))
    return Training(torch, UNet(), batch).parts()


@workload(steps=9)
def evaluated(threads):
    """training broken off by an evaluation: in each step three updates, then larger batches"""
    torch = load_torch(threads)
    nn = torch.nn
    model = nn.Sequential(nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(),
                          nn.Linear(1024, 10))
    training = Training(torch, model, lambda _: labelled(torch, 10, 256, 256))

    def evaluate():
        model.eval()
        with torch.no_grad():
            for _ in range(2):
                inputs, targets = labelled(torch, 10, 3000, 256)
                (model(inputs).argmax(dim=1) == targets).float().mean().item()
        model.train()

    def step(number):
        for _ in range(3):
            training.step(number)
        evaluate()
    return step, training.forget


@workload(steps=9)
def generation(threads):
    """text is generated: caches of keys and values that are concatenated anew for each token"""
    torch = load_torch(threads)
    layers, heads, width, texts = 6, 8, 512, 4
    weights = [(torch.randn(width, 3 * width) / width**0.5, torch.randn(width, width) / width**0.5)
               for _ in range(layers)]

    def attend(x, cache, weights):
        of_all, out = weights
        split = (x @ of_all).view(texts, -1, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        queries, *new = split
        keys, values = cache[:] = [torch.cat(pair, dim=2) for pair in zip(cache, new)]
        scores = torch.softmax(queries @ keys.transpose(2, 3) / 8, dim=3)
        return x + (scores @ values).transpose(1, 2).reshape(x.shape) @ out

    def step(number):
        nothing = torch.empty(texts, heads, 0, width // heads)
        caches = [[nothing, nothing] for _ in range(layers)]
        x = torch.randn(texts, drawn(number, 64, 256), width)  # what was read
        with torch.no_grad():
            for _ in range(32):
                for cache, of_layer in zip(caches, weights):
                    x = attend(x, cache, of_layer)
                x = torch.nn.functional.normalize(x[:, -1:], dim=2)
    return step, lambda: None


@workload(steps=9, own_threads=True)
def loader(threads):
    """training from a DataLoader, of which each step forks two worker processes"""
    torch = load_torch(threads)
    nn, data = torch.nn, torch.utils.data

    class Images(data.Dataset):
        def __len__(self):
            return 512

        def __getitem__(self, index):
            draw = torch.Generator().manual_seed(index)
            return torch.rand(3, 64, 64, generator=draw), index % 10

    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(),
                          nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    images, training = Images(), Training(torch, model)

    def step(_):
        for inputs, targets in data.DataLoader(images, 32, num_workers=2):
            training.update(inputs, targets)
    return step, training.forget


@workload(steps=15, own_threads=True)
def server(threads):
    """inference in four threads that come and go, each request of another shape"""
    torch = load_torch(threads)
    nn = torch.nn
    layer = nn.TransformerEncoderLayer(128, 4, 512, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(layer, 2), nn.Linear(128, 32)).eval()

    def answer(draw, together):
        together.wait()
        with torch.no_grad():
            for _ in range(4):
                request = torch.randn(draw.randint(1, 8), draw.randint(16, 256), 128)
                model(request).sum().item()

    def step(number):
        together = threading.Barrier(4)
        requests = [threading.Thread(target=answer, args=(random.Random(4 * number + i), together))
                    for i in range(4)]
        for request in requests:
            request.start()
        for request in requests:
            request.join()
    return step, lambda: None
