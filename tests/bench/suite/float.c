/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Floating point: the Mandelbrot set on the x87 stack, a matrix product in SSE2 registers, and the x87's sine
 * and cosine.
 *
 * Checksums hold for every correct processor and compiler: the x87 kernel works in `long double` throughout,
 * so that no spilled register loses bits, and FSIN and FCOS, whose last bits are the maker's choice (SDM
 * volume 1, "Approximation of Transcendental Functions"), are summed and cut to 2^-20.
 */
#include "hbench.h"

uint32_t x87_pass(struct bench *b)
{
    enum { SIDE = 64, STEPS = 100 };
    uint32_t sum = 0;

    (void)b;
    for (int row = 0; row < SIDE; row++) {
        for (int column = 0; column < SIDE; column++) {
            const long double x = -2.0L + column * 3.0L / SIDE, y = -1.25L + row * 2.5L / SIDE;
            long double re = 0, im = 0;
            uint32_t step = 0;

            for (; step < STEPS && re * re + im * im < 4; step++) {
                const long double t = re * re - im * im + x;

                im = 2 * re * im + y;
                re = t;
            }
            sum = sum * 31 + step;
        }
    }
    return sum;
}

enum { MATRIX = 64, PRODUCTS = 6 };

typedef double pair __attribute__((vector_size(16)));

__attribute__((target("sse2"))) static void multiply(pair *c, const double *a, const pair *b)
{
    for (uint32_t row = 0; row < MATRIX; row++) {
        for (uint32_t column = 0; column < MATRIX / 2; column++) {
            pair sum = {0, 0};

            for (uint32_t k = 0; k < MATRIX; k++) {
                const double factor = a[row * MATRIX + k];

                sum += (pair){factor, factor} * b[k * (MATRIX / 2) + column];
            }
            c[row * (MATRIX / 2) + column] = sum;
        }
    }
}

/* The arena is page aligned, as the aligned SSE2 loads need. The numbers are small: all sums are exact. */
__attribute__((target("sse2"))) uint32_t sse2_matrix_pass(struct bench *b)
{
    double *x = (double *)b->arena, *y = x + MATRIX * MATRIX, *z = y + MATRIX * MATRIX;

    for (int i = 0; i < MATRIX * MATRIX; i++) {
        x[i] = (i * 7 & 63) / 8.0;
        y[i] = (i * 5 & 31) - 15;
    }
    for (uint32_t i = 0; i < PRODUCTS; i++) {
        KEEP();
        multiply((pair *)z, x, (const pair *)y);
        x[i] = (double)i;
    }
    return hash_bytes(HASH_START, z, MATRIX * MATRIX * sizeof(double) / 8);
}

uint32_t sincos_pass(struct bench *b)
{
    long double angle = 0.125L, sum = 0;

    (void)b;
    for (uint32_t i = 0; i < 8000; i++) {
        long double sine, cosine;

        __asm__("fsin" : "=t"(sine) : "0"(angle));
        __asm__("fcos" : "=t"(cosine) : "0"(angle));
        sum += sine * cosine + cosine;
        angle += 0.03125L;
    }
    return (uint32_t)(int32_t)(sum * 1048576);
}
