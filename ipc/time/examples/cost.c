/* What a read costs beside clock_gettime by the header; `cost.rs` compiles and runs it, with TRUECHIMER_PAGE defined. */
#include "truechimer_time.h"
#include <stdio.h>

#define ROUNDS 1001
#define CALLS 10000

static int64_t elapsed(int64_t since)
{
    return truechimer_clock_(CLOCK_MONOTONIC) - since;
}

static int compare(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void spread(const char *what, double *values)
{
    qsort(values, ROUNDS, sizeof *values, compare);
    printf("%s%7.2f %7.2f %7.2f\n", what, values[ROUNDS / 20], values[ROUNDS / 2], values[ROUNDS - 1 - ROUNDS / 20]);
}

int main(void)
{
    static double theirs[ROUNDS], ours[ROUNDS], ratios[ROUNDS];
    struct truechimer_interval it;
    int round, call;

    for (round = 0; round < ROUNDS; round++) {
        int64_t begun = truechimer_clock_(CLOCK_MONOTONIC);
        for (call = 0; call < CALLS; call++) {
            struct timespec t;
            clock_gettime(CLOCK_REALTIME, &t);
            __asm__ volatile("" : : "r"(&t) : "memory");
        }
        theirs[round] = (double)elapsed(begun) / CALLS;
        begun = truechimer_clock_(CLOCK_MONOTONIC);
        for (call = 0; call < CALLS; call++) {
            if (truechimer_now(&it) != TRUECHIMER_OK)
                return 1;
            __asm__ volatile("" : : "r"(&it) : "memory");
        }
        ours[round] = (double)elapsed(begun) / CALLS;
        ratios[round] = ours[round] / theirs[round];
    }
    spread("clock_gettime(CLOCK_REALTIME) in C, ns ", theirs);
    spread("truechimer_now in C, ns                ", ours);
    spread("ratio                                  ", ratios);
    return 0;
}
