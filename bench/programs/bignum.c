/*
 * bignum.c - very many short-lived small blocks with arithmetic between them, as in cfrac: the
 * continued fraction of the square root of a number of 42 digits, in whole numbers that are each a
 * block. Every operation allocates its result; what it was made of is freed soon after.
 *
 * With n the number and r the whole part of its root, the expansion is
 *
 *   a = (r + p) / q    p' = a q - p    q' = (n - p'^2) / q    A' = (a A + A'') mod n
 *
 * and A^2 = (-1)^k q' (mod n), which is what the program checks.
 */
#include "shape.h"

enum { STEPS = 1500000, CHECKED = 64, MOST = 16 };

/* Little end first; no zeros in front; zero has no digits. */
struct number {
    uint32_t count;
    uint32_t digits[];
};

static const char number_taken[] = "175451659249187653920187401253712648918377";

static uint64_t operations;

static struct number *make(const uint32_t *digits, size_t count) {
    while (count > 0 && digits[count - 1] == 0) {
        count--;
    }
    struct number *made = malloc(sizeof *made + count * sizeof *digits);
    if (!made) {
        fail("out of memory");
    }
    made->count = (uint32_t)count;
    memcpy(made->digits, digits, count * sizeof *digits);
    operations++;
    return made;
}

static struct number *small(uint32_t value) {
    return make(&value, 1);
}

static int compare(const struct number *a, const struct number *b) {
    if (a->count != b->count) {
        return a->count < b->count ? -1 : 1;
    }
    for (size_t i = a->count; i > 0; i--) {
        if (a->digits[i - 1] != b->digits[i - 1]) {
            return a->digits[i - 1] < b->digits[i - 1] ? -1 : 1;
        }
    }
    return 0;
}

static struct number *add(const struct number *a, const struct number *b) {
    uint32_t sum[2 * MOST] = {0};
    size_t count = a->count > b->count ? a->count : b->count;
    uint64_t carry = 0;
    for (size_t i = 0; i <= count; i++) {
        carry += (i < a->count ? a->digits[i] : 0);
        carry += (i < b->count ? b->digits[i] : 0);
        sum[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return make(sum, count + 1);
}

/* a - b, where a >= b */
static struct number *subtract(const struct number *a, const struct number *b) {
    uint32_t difference[2 * MOST];
    int64_t borrow = 0;
    for (size_t i = 0; i < a->count; i++) {
        borrow += (int64_t)a->digits[i] - (i < b->count ? b->digits[i] : 0);
        difference[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
    return make(difference, a->count);
}

static struct number *multiply(const struct number *a, const struct number *b) {
    uint32_t product[2 * MOST] = {0};
    for (size_t i = 0; i < a->count; i++) {
        uint64_t carry = 0;
        for (size_t j = 0; j < b->count; j++) {
            carry += (uint64_t)a->digits[i] * b->digits[j] + product[i + j];
            product[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
        product[i + b->count] = (uint32_t)carry;
    }
    return make(product, a->count + b->count);
}

/* to = from, shifted to the left by less than 32 bits; one digit longer. */
static void shift_left(uint32_t *to, const struct number *from, unsigned bits) {
    uint64_t carry = 0;
    for (size_t i = 0; i < from->count; i++) {
        carry |= (uint64_t)from->digits[i] << bits;
        to[i] = (uint32_t)carry;
        carry >>= 32;
    }
    to[from->count] = (uint32_t)carry;
}

/* rest -= digit * by, over count + 1 digits; the digit where that goes below zero is one too much.
 */
static uint32_t take_away(uint32_t *rest, const uint32_t *by, size_t count, uint32_t digit) {
    uint64_t carry = 0;
    int64_t borrow = 0;
    for (size_t i = 0; i <= count; i++) {
        carry += (uint64_t)digit * (i < count ? by[i] : 0);
        borrow += (int64_t)rest[i] - (int64_t)(uint32_t)carry;
        rest[i] = (uint32_t)borrow;
        borrow >>= 32;
        carry >>= 32;
    }
    if (borrow == 0) {
        return digit;
    }
    uint64_t back = 0;
    for (size_t i = 0; i <= count; i++) {
        back += (uint64_t)rest[i] + (i < count ? by[i] : 0);
        rest[i] = (uint32_t)back;
        back >>= 32;
    }
    return digit - 1;
}

/* The next digit of rest / by, at most one too large: Knuth, volume 2, 4.3.1, algorithm D. */
static uint32_t estimate(const uint32_t *rest, const uint32_t *by, size_t count) {
    uint64_t top = (uint64_t)rest[count] << 32 | rest[count - 1];
    uint64_t first = by[count - 1] | UINT32_C(1) << 31; /* which shift_left() has brought there */
    uint64_t digit = top / first, left = top % first;
    uint64_t second = count > 1 ? by[count - 2] : 0, third = count > 1 ? rest[count - 2] : 0;
    while (digit >> 32 || digit * second > (left << 32 | third)) {
        digit--;
        left += first;
        if (left >> 32) {
            break;
        }
    }
    return (uint32_t)digit;
}

/* a / b, and where it is wanted a mod b; b is not zero. */
static struct number *divide(const struct number *a, const struct number *b,
                             struct number **remainder) {
    uint32_t rest[2 * MOST + 1] = {0}, by[MOST + 1] = {0}, quotient[2 * MOST] = {0};
    size_t count = b->count;
    unsigned bits = (unsigned)__builtin_clz(b->digits[count - 1]);
    shift_left(rest, a, bits);
    shift_left(by, b, bits);
    for (size_t j = a->count + 1; j-- > count;) {
        uint32_t *part = rest + j - count;
        quotient[j - count] = take_away(part, by, count, estimate(part, by, count));
    }
    if (remainder) {
        for (size_t i = 0; i < count; i++) {
            rest[i] = (uint32_t)(((uint64_t)rest[i + 1] << 32 | rest[i]) >> bits);
        }
        *remainder = make(rest, count);
    }
    return make(quotient, a->count < count ? 0 : a->count - count + 1);
}

/* Consumes a. */
static struct number *modulo(struct number *a, const struct number *by) {
    struct number *remainder;
    free(divide(a, by, &remainder));
    free(a);
    return remainder;
}

/* a * b + c, consuming c */
static struct number *multiply_add(const struct number *a, const struct number *b,
                                   struct number *c) {
    struct number *product = multiply(a, b), *sum = add(product, c);
    free(product);
    free(c);
    return sum;
}

static struct number *parse(const char *text) {
    struct number *value = small(0), *ten = small(10);
    for (; *text; text++) {
        struct number *next = multiply_add(value, ten, small((uint32_t)(*text - '0')));
        free(value);
        value = next;
    }
    free(ten);
    return value;
}

/* The whole part, by Newton's method from above. */
static struct number *square_root(const struct number *n) {
    struct number *root = make(n->digits, n->count), *two = small(2);
    for (;;) {
        struct number *other = divide(n, root, NULL), *sum = add(root, other);
        struct number *next = divide(sum, two, NULL);
        free(other);
        free(sum);
        if (compare(next, root) >= 0) {
            free(next);
            free(two);
            return root;
        }
        free(root);
        root = next;
    }
}

struct expansion {
    struct number *n, *root, *p, *q, *a, *before; /* a and before: the last two A */
    uint64_t step;
};

static void replace(struct number **place, struct number *by) {
    free(*place);
    *place = by;
}

static void advance(struct expansion *x) {
    struct number *sum = add(x->root, x->p);
    struct number *digit = divide(sum, x->q, NULL);
    free(sum);
    struct number *next = modulo(multiply_add(digit, x->a, x->before), x->n);
    x->before = x->a;
    x->a = next;

    struct number *product = multiply(digit, x->q);
    replace(&x->p, subtract(product, x->p));
    free(product);
    free(digit);

    struct number *square = multiply(x->p, x->p), *left = subtract(x->n, square);
    free(square);
    replace(&x->q, divide(left, x->q, NULL));
    free(left);
    x->step++;
}

static void verify(const struct expansion *x) {
    struct number *square = modulo(multiply(x->a, x->a), x->n);
    struct number *wanted = x->step % 2 ? subtract(x->n, x->q) : small(0);
    if (compare(square, x->step % 2 ? wanted : x->q) != 0) {
        fail("the numbers are wrong");
    }
    free(square);
    free(wanted);
}

int main(int count, char **arguments) {
    struct shape shape = begin(count, arguments);
    uint64_t steps = share(&shape, STEPS);
    struct expansion x = {.p = small(0), .q = small(1), .a = small(1), .before = small(0)};
    x.n = parse(number_taken);
    x.root = square_root(x.n);
    while (x.step < steps) {
        advance(&x);
        if (x.step % CHECKED == 0 || x.step < CHECKED) {
            verify(&x);
        }
    }
    report(&shape, operations);
}
