"""Small image classifiers that between them use what Keras users use; the conformance set of the exporter.

Each function builds one with random weights, and can be named on the command line: `tests/export` on the path,
`livedigit export zoo:grouped_convolution --name zoo --dry-run`.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import layers

Tensor = keras.KerasTensor


def digits() -> keras.Model:
    """The network of this project."""
    blocks = [
        layer
        for filters in (32, 64, 128)
        for layer in (
            layers.Conv2D(filters, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
        )
    ]
    head = [layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dropout(0.2)]
    return keras.Sequential([layers.Input((28, 28, 1)), *blocks, *head, layers.Dense(10, activation="softmax")])


def yes_or_no() -> keras.Model:
    """One sigmoid: the usual way to tell two classes apart."""
    image = layers.Input((24, 24, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(image))
    return keras.Model(image, layers.Dense(1, activation="sigmoid")(x))


def ensemble() -> keras.Model:
    """The mean of finished probabilities."""
    image = layers.Input((12, 12, 1))
    heads = [layers.Dense(4, activation="softmax")(layers.Flatten()(image)) for _ in range(2)]
    return keras.Model(image, layers.Average()(heads))


def fully_convolutional() -> keras.Model:
    """A softmax over a map of one place, flattened last."""
    image = layers.Input((12, 12, 1))
    return keras.Model(image, layers.Flatten()(layers.Conv2D(4, 12, activation="softmax")(image)))


def batch_normalization() -> keras.Model:
    image = layers.Input((32, 32, 3))
    x = conv_norm_relu(image, 16)
    x = conv_norm_relu(x, 16)
    return classify(image, x, 5)


def residual() -> keras.Model:
    image = layers.Input((32, 32, 3))
    x = conv_norm_relu(image, 16)
    shortcut = layers.Conv2D(32, 1, strides=2)(x)
    x = conv_norm_relu(x, 32, strides=2)
    x = layers.BatchNormalization()(layers.Conv2D(32, 3, padding="same")(x))
    return classify(image, layers.ReLU()(layers.Add()([x, shortcut])), 7)


def separable() -> keras.Model:
    """Strided `same` padding is asymmetric, which converters get wrong."""
    image = layers.Input((64, 64, 3))
    x = layers.SeparableConv2D(16, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2)(x)
    return classify(image, layers.ReLU(6.0)(x), 26)


def dilated() -> keras.Model:
    image = layers.Input((24, 24, 1))
    x = layers.Conv2D(8, 3, dilation_rate=2, padding="same", activation="relu")(image)
    return classify(image, layers.Conv2D(8, 3, dilation_rate=3, activation="relu")(x), 4)


def grouped_convolution() -> keras.Model:
    image = layers.Input((16, 16, 4))
    x = layers.Conv2D(8, 3, groups=4, padding="same", activation="relu")(image)
    return classify(image, layers.Conv2D(16, 3, groups=2, activation="relu")(x), 3)


def transposed_convolution() -> keras.Model:
    image = layers.Input((12, 12, 2))
    x = layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(image)
    return classify(image, x, 3)


def normalization() -> keras.Model:
    normalize = layers.Normalization()
    normalize.adapt(np.random.default_rng(1).normal(3, 2, (64, 20, 20, 3)).astype(np.float32))
    image = layers.Input((20, 20, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(normalize(image))
    return classify(image, layers.Conv2D(8, 3, activation="relu")(x), 3)


def resizing() -> keras.Model:
    image = layers.Input((40, 30, 3))
    x = layers.Conv2D(8, 3, activation="relu")(layers.Resizing(20, 20)(image))
    return classify(image, x, 3)


def resizing_nearest() -> keras.Model:
    image = layers.Input((40, 30, 3))
    x = layers.Conv2D(8, 3, activation="relu")(layers.Resizing(20, 21, interpolation="nearest")(image))
    return classify(image, x, 3)


def augmentation() -> keras.Model:
    """Random layers, inert at inference."""
    image = layers.Input((28, 28, 1))
    x = layers.RandomFlip()(image)
    x = layers.RandomRotation(0.1)(x)
    x = layers.RandomZoom(0.1)(x)
    x = layers.RandomTranslation(0.1, 0.1)(x)
    x = layers.RandomContrast(0.2)(x)
    x = layers.GaussianNoise(0.3)(layers.RandomBrightness(0.2, value_range=(0, 1))(x))
    return classify(image, layers.Conv2D(8, 3, activation="relu")(x), 10)


def vision_transformer() -> keras.Model:
    image = layers.Input((32, 32, 3))
    x = layers.Reshape((16, 48))(layers.Conv2D(48, 8, strides=8)(image))
    attended = layers.MultiHeadAttention(4, 12)(layers.LayerNormalization()(x), layers.LayerNormalization()(x))
    x = layers.Add()([x, attended])
    x = layers.Add()([x, layers.Dense(48, activation="gelu")(layers.LayerNormalization()(x))])
    return keras.Model(image, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling1D()(x)))


def squeeze_and_excite() -> keras.Model:
    image = layers.Input((24, 24, 3))
    x = layers.Conv2D(16, 3, padding="same", activation="swish")(image)
    gate = layers.Dense(4, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return classify(image, layers.Multiply()([x, layers.Dense(16, activation="sigmoid")(gate)]), 5)


def mixed_precision() -> keras.Model:
    image = layers.Input((28, 28, 1))
    x = layers.Conv2D(16, 3, activation="relu", dtype="mixed_float16")(image)
    x = layers.BatchNormalization(dtype="mixed_float16")(layers.MaxPooling2D(dtype="mixed_float16")(x))
    x = layers.Flatten(dtype="mixed_float16")(x)
    x = layers.Dense(10, dtype="mixed_float16")(x)
    return keras.Model(image, layers.Activation("softmax", dtype="float32")(x))


def open_size() -> keras.Model:
    """Height and width are the caller's choice."""
    image = layers.Input((None, None, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    return classify(image, layers.Conv2D(8, 3, padding="same", activation="relu")(x), 6)


def open_size_deep() -> keras.Model:
    """Nothing is left of an image of 32 pixels."""
    image = x = layers.Input((None, None, 3))
    for _ in range(4):
        x = layers.MaxPooling2D()(layers.Conv2D(8, 3, activation="relu")(x))
    return classify(image, x, 4)


def raw_logits() -> keras.Model:
    """Ends without a softmax, as a model trained with `from_logits=True` does."""
    return keras.Sequential([layers.Input((10, 10, 1)), layers.Flatten(), layers.Dense(8, "relu"), layers.Dense(4)])


def softmax_layer() -> keras.Model:
    image = layers.Input((10, 10, 2))
    return keras.Model(image, layers.Softmax()(layers.Dense(3)(layers.Flatten()(image))))


def activations() -> keras.Model:
    image = layers.Input((14, 14, 1))
    kinds = ("elu", "selu", "gelu", "swish", "softplus", "softsign", "tanh", "hard_sigmoid", "mish", "relu6")
    branches = [layers.Conv2D(2, 3, activation=kind)(image) for kind in kinds]
    branches += [layer(layers.Conv2D(2, 3)(image)) for layer in (layers.LeakyReLU(), layers.PReLU())]
    return classify(image, layers.Concatenate()(branches), 4)


def group_normalization() -> keras.Model:
    image = layers.Input((16, 16, 3))
    x = layers.GroupNormalization(4)(layers.Conv2D(16, 3)(image))
    return keras.Model(image, layers.Dense(3, activation="softmax")(layers.GlobalMaxPooling2D()(layers.ReLU()(x))))


def padding_and_cropping() -> keras.Model:
    image = layers.Input((19, 17, 1))
    x = layers.Conv2D(6, 3)(layers.ZeroPadding2D(((2, 1), (0, 3)))(image))
    x = layers.AveragePooling2D(3, strides=2, padding="same")(layers.Cropping2D(((1, 0), (2, 1)))(x))
    return classify(image, x, 3)


def upsampling() -> keras.Model:
    image = layers.Input((9, 9, 3))
    nearest = layers.UpSampling2D(2)(layers.Conv2D(4, 3, padding="same")(image))
    return classify(image, layers.Conv2D(8, 3, activation="relu")(nearest), 3)


def inception() -> keras.Model:
    image = layers.Input((20, 20, 3))
    branches = [layers.Conv2D(4, side, padding="same", activation="relu")(image) for side in (1, 3, 5)]
    pooled = layers.Conv2D(4, 1)(layers.MaxPooling2D(3, strides=1, padding="same")(image))
    return classify(image, layers.Concatenate()([*branches, pooled]), 8)


def nested() -> keras.Model:
    """A model within a model, used twice: its weights are shared."""
    body = keras.Sequential([layers.Input((12, 12, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten()])
    image = layers.Input((12, 12, 1))
    x = layers.Concatenate()([body(image), body(layers.Rescaling(-1.0, offset=1.0)(image))])
    return keras.Model(image, layers.Dense(2, activation="softmax")(x))


def recurrent() -> keras.Model:
    """Reads the image row by row, unrolled: ONNX control flow is refused."""
    image = layers.Input((8, 8, 1))
    x = layers.SimpleRNN(12, unroll=True)(layers.Reshape((8, 8))(image))
    return keras.Model(image, layers.Dense(4, activation="softmax")(x))


def long_memory() -> keras.Model:
    """ONNX has an operator for this one, so it is no loop there."""
    image = layers.Input((8, 8, 1))
    return keras.Model(image, layers.Dense(4, activation="softmax")(layers.LSTM(12)(layers.Reshape((8, 8))(image))))


@keras.saving.register_keras_serializable("zoo")
class Scale(layers.Layer):
    """A layer of the user's own."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="factor")

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * self.factor


def custom_layer() -> keras.Model:
    image = layers.Input((10, 10, 3))
    return classify(image, Scale()(layers.Conv2D(4, 3, activation="relu")(image)), 3)


@keras.saving.register_keras_serializable("zoo")
class Subclassed(keras.Model):
    """Knows its layers, not its graph."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.body = layers.Conv2D(6, 3, activation="relu")
        self.drop = layers.Dropout(0.5)
        self.head = layers.Dense(4, activation="softmax")

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        features = keras.ops.mean(self.body(inputs), axis=(1, 2))
        return self.head(self.drop(features, training=training))


def subclassed() -> keras.Model:
    model = Subclassed()
    model(np.zeros((1, 14, 14, 1), np.float32))
    return model


def mobilenet_v2() -> keras.Model:
    return keras.applications.MobileNetV2((96, 96, 3), weights=None, classes=10)


def efficientnet_b0() -> keras.Model:
    return keras.applications.EfficientNetB0(weights=None, input_shape=(96, 96, 3), classes=10)


def conv_norm_relu(x: Tensor, filters: int, **options: object) -> Tensor:
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, **options)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def classify(image: Tensor, features: Tensor, classes: int) -> keras.Model:
    pooled = layers.GlobalAveragePooling2D()(features)
    return keras.Model(image, layers.Dense(classes, activation="softmax")(pooled))


def build(builder: Callable[[], keras.Model], seed: int) -> keras.Model:
    """Build a model as if it had been trained: biases of 0 and statistics of 0 and 1 hide mistakes."""
    keras.utils.set_random_seed(seed)
    model = builder()
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        kind = weight.path.rpartition("/")[2]
        if kind in ("bias", "beta", "moving_mean"):
            weight.assign(generator.normal(0, 0.1, weight.shape))
        elif kind in ("gamma", "moving_variance", "factor"):
            weight.assign(generator.uniform(0.6, 1.4, weight.shape))
    return model


SMALL = (
    activations,
    augmentation,
    batch_normalization,
    custom_layer,
    digits,
    dilated,
    ensemble,
    fully_convolutional,
    group_normalization,
    grouped_convolution,
    inception,
    long_memory,
    mixed_precision,
    nested,
    normalization,
    open_size,
    open_size_deep,
    padding_and_cropping,
    raw_logits,
    recurrent,
    residual,
    resizing,
    resizing_nearest,
    separable,
    softmax_layer,
    squeeze_and_excite,
    subclassed,
    transposed_convolution,
    upsampling,
    vision_transformer,
    yes_or_no,
)
LARGE = (efficientnet_b0, mobilenet_v2)
