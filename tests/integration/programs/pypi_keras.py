"""Keras on TensorFlow trains a small network by fit(), one thread, all operations deterministic."""
import os

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0")
import keras
import numpy
import tensorflow

keras.utils.set_random_seed(1)
tensorflow.config.experimental.enable_op_determinism()
tensorflow.config.threading.set_intra_op_parallelism_threads(2)
random = numpy.random.default_rng(1)
x = random.standard_normal((2000, 16, 16, 1), dtype="float32")
y = (x.mean((1, 2, 3)) > 0).astype("int32")

layers = keras.layers
model = keras.Sequential([
    layers.Input((16, 16, 1)), layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(),
    layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dropout(0.1), layers.Dense(2)])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
history = model.fit(x, y, batch_size=50, epochs=4, verbose=0)
print([loss.hex() for loss in history.history["loss"]])
print(float(model.predict(x[:256], verbose=0).sum()).hex())
model.save("model.keras")
print(float(keras.models.load_model("model.keras").predict(x[:256], verbose=0).sum()).hex())
