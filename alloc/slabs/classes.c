/*
 * classes.c - the tables of the classes: see classes.h.
 */
#include "classes.h"

#include "align.h"

#define FOUR(base, step)                                                                           \
    (base) + (step), (base) + 2 * (step), (base) + 3 * (step), (base) + 4 * (step)
#define EIGHT(base) FOUR(base, (base) / 8), FOUR((base) + (base) / 2, (base) / 8)

const uint16_t sw__class_sizes[SW__CLASS_COUNT] = {
    FOUR(0, 16), FOUR(64, 16), /* by 16 from 16 on, */
    EIGHT(128),  EIGHT(256),   EIGHT(512),  EIGHT(1024),
    EIGHT(2048), EIGHT(4096),  EIGHT(8192), EIGHT(16384),
};

#define RUN_OF_4(class)       class, (class) + 1, (class) + 2, (class) + 3
#define RUN_OF_8(class)       RUN_OF_4(class), RUN_OF_4((class) + 4)
#define TWICE(class)          class, class
#define FOUR_TIMES(class)     TWICE(class), TWICE(class)
#define EACH_OF_4(how, class) how(class), how((class) + 1), how((class) + 2), how((class) + 3)
#define EACH_OF_8(how, class) EACH_OF_4(how, class), EACH_OF_4(how, (class) + 4)

/* By (size + 15) / 16. */
const uint8_t sw__class_table[SW__TABLED_MAX / 16 + 1] = {
    0, /* size 0 counts as 1 */
    RUN_OF_8(0),
    RUN_OF_8(8),               /* to 256 */
    EACH_OF_8(TWICE, 16),      /* to 512 */
    EACH_OF_8(FOUR_TIMES, 24), /* to 1024 */
};

size_t sw__round_to_class(size_t size) {
    if (size <= SW__SMALL_MAX)
        return sw__class_sizes[sw__class_of(size)];
    size_t spacing = (size_t)1 << (63 - __builtin_clzll(size - 1) - 3);
    return sw__align_up(size, spacing);
}
