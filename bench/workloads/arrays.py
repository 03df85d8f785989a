"""NumPy and scikit-learn, unmodified: temporaries of expressions, sorts and transforms, fits.

Their arrays come from malloc and calloc, unaligned, where PyTorch's come from posix_memalign.
"""
import functools

from registry import add_to

WORKLOADS = []
workload = functools.partial(add_to, WORKLOADS,
                             (("numpy", "python3-numpy"), ("sklearn", "python3-sklearn")))


def nothing():
    """What these programs hold when they have no work: what they were built with."""


@workload(steps=15)
def numpy(threads):
    """logistic regression written as array expressions: temporaries of 2 to 16 MiB"""
    del threads
    import numpy as np

    source = np.random.default_rng(1)
    rows = source.standard_normal((6000, 512))
    targets = source.integers(0, 2, 6000)
    weights = np.zeros((512, 8))

    def step(number):
        nonlocal weights
        chosen = np.random.default_rng(number).integers(0, 6000, 4096)
        batch = rows[chosen]
        batch = (batch - batch.mean(axis=0)) / (batch.std(axis=0) + 1e-6)
        batch = np.where(np.abs(batch) < 3, batch, np.sign(batch) * 3)
        guess = 1 / (1 + np.exp(-(batch @ weights)))
        slope = batch.T @ (guess - targets[chosen, None]) / len(chosen)
        weights = weights - 0.1 * slope
    return step, nothing


@workload(steps=15)
def signals(threads):
    """transforms, filters and sorts of signals of another length in every step"""
    del threads
    import numpy as np

    def step(number):
        source = np.random.default_rng(number)
        signal = source.standard_normal(1000 * int(source.integers(200, 1000)))
        spectrum = np.fft.rfft(signal)
        spectrum[len(spectrum) // 4:] = 0
        smooth = np.fft.irfft(spectrum, len(signal))
        order = np.argsort(smooth)
        np.cumsum(smooth[order]) - np.interp(order, [0, len(order)], [0.0, 1.0])
    return step, nothing


@workload(steps=15)
def kmeans(threads):
    """scikit-learn: k-means, a fit in each step"""
    del threads
    import numpy as np
    from sklearn.cluster import KMeans

    rows = np.random.default_rng(1).standard_normal((40_000, 48))

    def step(number):
        KMeans(24, n_init=1, max_iter=8, random_state=number).fit(rows)
    return step, nothing


@workload(steps=9, small=True)
def forest(threads):
    """scikit-learn: a random forest, grown and asked in each step: many small blocks"""
    del threads
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier

    source = np.random.default_rng(1)
    rows, labels = source.standard_normal((6000, 20)), source.integers(0, 3, 6000)

    def step(number):
        grown = RandomForestClassifier(8, random_state=number, n_jobs=1).fit(rows, labels)
        grown.predict_proba(rows)
    return step, nothing


@workload(steps=15)
def pca(threads):
    """scikit-learn: scaling and principal components, of another number of rows in every step"""
    del threads
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    rows = np.random.default_rng(1).standard_normal((40_000, 128))

    def step(number):
        count = int(np.random.default_rng(number).integers(8_000, 40_000))
        scaled = StandardScaler().fit_transform(rows[:count])
        PCA(16, svd_solver="randomized", random_state=number).fit_transform(scaled)
    return step, nothing
