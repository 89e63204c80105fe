/* The held stretch of a body: order, joining, bounds, and that every block comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/stock.h"
#include "master/value/held.h"

/* Sends as PUT does: all but the last piece, the rest at the end. */
static size_t take(struct held *held, uint64_t *next, uint64_t before, char *out)
{
    size_t n = 0;

    for (; *next < before; (*next)++) {
        const struct held_piece *p = held_piece(held, *next);

        memcpy(out + n, p->data, p->len);
        n += p->len;
    }
    return n;
}

static void whole_in_one_piece(void **state)
{
    struct block *b = block_get(BLOCK_SMALL);
    struct held held;

    (void)state;
    memcpy(b->data, "value", 5);
    held_init(&held);
    held_add(&held, b, b->data, 5);
    assert_int_equal(held.n, 1);
    assert_ptr_equal(held.piece[0].data, b->data); /* not copied */
    assert_true(held_whole(&held));
    block_unref(&b);
    held_clear(&held);
    assert_int_equal(held.memory, 0);
}

static void neighbours_are_joined(void **state)
{
    struct block *b = block_get(BLOCK_SMALL);
    struct held held;

    (void)state;
    held_init(&held);
    for (int i = 0; i < 100; i++)
        held_add(&held, b, b->data + i, 1);
    assert_int_equal(held.n, 1);
    assert_int_equal(held.bytes, 100);
    assert_int_equal(held.memory, BLOCK_SMALL);
    block_unref(&b);
    held_clear(&held);
}

/* A client that drips: every byte in a block of its own. */
static void drips_do_not_pin_blocks(void **state)
{
    struct held held;

    (void)state;
    held_init(&held);
    for (int i = 0; i < 10000; i++) {
        struct block *b = block_get(BLOCK_LARGE);

        b->data[7] = (char)i;
        assert_true(held_room(&held, b));
        held_add(&held, b, b->data + 7, 1);
        block_unref(&b);
    }
    assert_int_equal(held.bytes, 10000);
    assert_true(held.memory <= 2 * BLOCK_LARGE);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(held.piece[0].data[i], (char)i);
    held_clear(&held);
}

static void add_from_new_block(struct held *held, size_t size, size_t len)
{
    struct block *b = block_get(size);

    memset(b->data, 'b', len);
    assert_true(held_room(held, b));
    held_add(held, b, b->data, len);
    block_unref(&b);
    assert_true(held->memory <= HELD_MAX);
}

/* Small pieces of small blocks are gathered in a large one only where there is room for
 * that. */
static void gathering_keeps_to_the_room(void **state)
{
    enum { BEFORE = 2 * BLOCK_SMALL + 3 * BLOCK_LARGE, LEFT = HELD_MAX - BEFORE };
    struct held held;

    (void)state;
    held_init(&held);
    add_from_new_block(&held, BLOCK_SMALL, 100);
    add_from_new_block(&held, BLOCK_LARGE, HELD_JOIN);
    add_from_new_block(&held, BLOCK_SMALL, 100);
    add_from_new_block(&held, BLOCK_LARGE, HELD_JOIN);
    add_from_new_block(&held, BLOCK_LARGE, HELD_JOIN);
    assert_int_equal(held.memory, BEFORE);
    for (int i = 0; i < LEFT / BLOCK_SMALL; i++)
        add_from_new_block(&held, BLOCK_SMALL, 100);
    held_clear(&held);
}

static void any_pieces_come_out_as_they_went_in(void **state)
{
    enum { TOTAL = 3 * 1024 * 1024 };
    char *in = malloc(TOTAL), *out = malloc(TOTAL);
    unsigned seed = 7;

    (void)state;
    for (size_t i = 0; i < TOTAL; i++)
        in[i] = (char)rand_r(&seed);
    for (int round = 0; round < 20; round++) {
        size_t fed = 0, got = 0;
        uint64_t next = 0;
        struct held held;

        held_init(&held);
        while (fed < TOTAL) {
            struct block *b = block_get(rand_r(&seed) % 2 ? BLOCK_LARGE : BLOCK_SMALL);
            size_t at = 0;

            /* Some stretches of a block, with gaps as chunk framing leaves them. */
            while (at < b->size && fed < TOTAL) {
                size_t len =
                    1 + (size_t)rand_r(&seed) % (rand_r(&seed) % 3 ? 300 : 30000);
                size_t gap = rand_r(&seed) % 2 ? 3 : 0;

                if (len > b->size - at)
                    len = b->size - at;
                if (len > TOTAL - fed)
                    len = TOTAL - fed;
                if (!held_room(&held, b)) {
                    got += take(&held, &next, held_end(&held) - 1, out + got);
                    held_forget(&held, next);
                    assert_false(held_whole(&held));
                }
                assert_true(held_room(&held, b));
                memcpy(b->data + at, in + fed, len);
                held_add(&held, b, b->data + at, len);
                assert_true(held.memory <= HELD_MAX);
                fed += len;
                at += len + gap;
            }
            block_unref(&b);
        }
        got += take(&held, &next, held_end(&held), out + got);
        assert_int_equal(got, TOTAL);
        assert_memory_equal(in, out, TOTAL);
        held_clear(&held);
    }
    free(in);
    free(out);
    stock_free_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_in_one_piece),
        cmocka_unit_test(neighbours_are_joined),
        cmocka_unit_test(drips_do_not_pin_blocks),
        cmocka_unit_test(gathering_keeps_to_the_room),
        cmocka_unit_test(any_pieces_come_out_as_they_went_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
