/*
 * Recipes: the networks that come with the library. Adding one is adding a line.
 */
#include <string.h>

#include "train.h"

static const struct nn_recipe recipes[] = {
    {
        .name = "digits",
        .summary = "optical digits, embedded: 1,442 images of 8x8; seconds",
        .batch = 32,
        .epochs = 30,
        .layers = 3,
        .widths = {64, 128, 64, 10},
        .data = NN_DATA_DIGITS,
        .activation = NN_RELU,
        .method = NN_ADAM,
        .learning_rate = 2e-3f,
        .dropout = 0.2f,
        .decay_rate = true,
    },
    {
        .name = "mnist",
        .summary = "MNIST, or other 28x28 images of ten classes, from IDX files",
        .batch = 128,
        .epochs = 8,
        .layers = 3,
        .widths = {784, 512, 256, 10},
        .data = NN_DATA_DIRECTORY,
        .activation = NN_RELU,
        .method = NN_ADAMW,
        .learning_rate = 1e-3f,
        .weight_decay = 0.01f,
        .dropout = 0.2f,
        .decay_rate = true,
    },
    {
        .name = "mlp",
        .summary = "large matrix products, synthetic data: parameters dominate",
        .batch = 512,
        .epochs = 1,
        .layers = 3,
        .widths = {1024, 2048, 2048, 10},
        .data = NN_DATA_SYNTHETIC,
        .examples = (size_t)32 * 512,
        .activation = NN_RELU,
        .method = NN_ADAM,
        .learning_rate = 1e-3f,
    },
    {
        .name = "wide",
        .summary = "element-wise work on activations of 32 MiB, synthetic data",
        .batch = 2048,
        .epochs = 1,
        .layers = 2,
        .widths = {64, 4096, 16},
        .data = NN_DATA_SYNTHETIC,
        .examples = (size_t)32 * 2048,
        .activation = NN_GELU,
        .method = NN_ADAM,
        .learning_rate = 1e-3f,
        .dropout = 0.1f,
    },
};

const struct nn_recipe *nn_recipe_at(size_t index) {
    return index < sizeof recipes / sizeof *recipes ? &recipes[index] : NULL;
}

const struct nn_recipe *nn_recipe_find(const char *name) {
    const struct nn_recipe *recipe;
    for (size_t i = 0; (recipe = nn_recipe_at(i)); i++) {
        if (strcmp(recipe->name, name) == 0) {
            return recipe;
        }
    }
    return NULL;
}
