/* The time with how wrong it can be, from truechimer's page in shared memory: one function, truechimer_now().
 *
 * It takes no lock and makes no system call beyond reading two clocks (none, where the C library reads them by itself); the
 * first call opens and maps the page, for all threads, and each thread keeps what follows from it (160 octets of thread-local
 * storage). For 64-bit Linux, gcc or clang, C or C++, with -std=gnu11 or later or _GNU_SOURCE defined. The same arithmetic as
 * the crate truechimer-time; a test compares them.
 *
 * SPDX-License-Identifier: Apache-2.0 OR MIT
 */
#ifndef TRUECHIMER_TIME_H
#define TRUECHIMER_TIME_H

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef __SIZEOF_INT128__
#error "truechimer_time.h needs a 64-bit target"
#endif

#ifndef TRUECHIMER_PAGE
#define TRUECHIMER_PAGE "/run/truechimer/time"
#endif

#ifndef TRUECHIMER_VMCLOCK
#define TRUECHIMER_VMCLOCK "/dev/vmclock0"
#endif

/* Why there is no interval. */
enum truechimer_status {
    TRUECHIMER_OK = 0,        /* there is one */
    TRUECHIMER_NO_PAGE = -1,  /* no daemon has run in this boot, or it is not a page: errno says more */
    TRUECHIMER_NO_TIME = -2,  /* nothing was written yet, too few sources have answered, or they contradict each other */
    TRUECHIMER_DISRUPTED = -3, /* the machine stood still or its clock was set, and no source has answered since */
    TRUECHIMER_EXPIRED = -4,  /* what was written last holds no longer: no daemon runs, or a leap second is just due */
    TRUECHIMER_TOO_EARLY = -5, /* it is about a later time than this: of another boot */
    TRUECHIMER_OTHER_VERSION = -6 /* the daemon is of another version than this header */
};

/* True time (UTC) is in [earliest, latest], nanoseconds since 1970. */
struct truechimer_interval {
    int64_t earliest, latest;
    int64_t estimate;      /* the best estimate, between the two */
    int synchronised;      /* sources answer and agree; otherwise what their last answers leave */
    int authenticated;     /* all sources that it is from prove by NTS that it is theirs */
    int attested;          /* and the daemon lets nothing else decide, and two operators at least */
    int system_clock;      /* CLOCK_REALTIME is steered to it, and known to be within a second */
    int sources;           /* how many */
};

__extension__ typedef __int128 truechimer_long_;

#define TRUECHIMER_WORDS_ 24
#define TRUECHIMER_LENGTH_ 4096
/* CLOCK_REALTIME_COARSE is the time of the last tick: so much behind at most, nanoseconds. */
#define TRUECHIMER_TICKS_ 20000000

static inline int64_t truechimer_clock_(clockid_t clock)
{
    struct timespec t = {0, 0};
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t truechimer_limit_(truechimer_long_ value)
{
    return value > INT64_MAX ? INT64_MAX : value < INT64_MIN ? INT64_MIN : (int64_t)value;
}

static inline int64_t truechimer_sum_(int64_t a, int64_t b)
{
    return truechimer_limit_((truechimer_long_)a + b);
}

static inline int64_t truechimer_difference_(int64_t a, int64_t b)
{
    return truechimer_limit_((truechimer_long_)a - b);
}

static inline int64_t truechimer_size_(int64_t a)
{
    return a >= 0 ? a : truechimer_difference_(0, a);
}

/* What a rate, a multiple of 2^-48, makes of a length; rounded down. */
static inline int64_t truechimer_part_(int64_t length, int64_t rate)
{
    return (int64_t)(((truechimer_long_)length * rate) >> 48);
}

/* How far `wall` is beside what CLOCK_REALTIME should show at a raw time, and how far it may be. */
static inline int64_t truechimer_beside_(const uint64_t *w, int64_t raw, int64_t wall, int64_t *wider)
{
    int64_t elapsed = truechimer_difference_(raw, (int64_t)w[2]);
    int64_t expected = truechimer_sum_(truechimer_sum_((int64_t)w[15], elapsed),
                                       truechimer_part_(elapsed, (int64_t)w[16]));
    *wider = truechimer_part_(truechimer_size_(elapsed), (int64_t)w[19]);
    return truechimer_difference_(wall, expected);
}

/* Whether CLOCK_REALTIME may show `wall` between the raw times `before` and `after`; it may be `behind` so much. */
static inline int truechimer_agrees_(const uint64_t *w, int64_t before, int64_t wall, int64_t after, int64_t behind)
{
    int64_t wider, beside = truechimer_beside_(w, before, wall, &wider);

    if (truechimer_sum_(truechimer_sum_(beside, wider), behind) < (int64_t)w[17])
        return 0;
    beside = truechimer_beside_(w, after, wall, &wider);
    return truechimer_difference_(beside, wider) <= (int64_t)w[18];
}

/* The interval at a raw time, from the words of a page. */
static inline int truechimer_at_(const uint64_t *w, int64_t raw, struct truechimer_interval *out)
{
    static const int64_t spans[6] = {64, 256, 1024, 3600, 7200, 10800};
    const uint64_t most = (UINT64_C(1) << 48) / 100;
    int state = (int)(w[1] & 0xff), segment, i;
    int64_t elapsed, distance, moved, wider;
    truechimer_long_ apart;

    if (w[0] != UINT64_C(0x74636874696d6501) || state > 3 || w[19] > most)
        return TRUECHIMER_OTHER_VERSION;
    for (i = 9; i < 15; i++)
        if (w[i] > most)
            return TRUECHIMER_OTHER_VERSION;
    for (i = 6; i <= 16; i += 10)
        if ((int64_t)w[i] > (int64_t)most || (int64_t)w[i] < -(int64_t)most)
            return TRUECHIMER_OTHER_VERSION;
    if (state == 0)
        return TRUECHIMER_NO_TIME;
    if (state == 3)
        return TRUECHIMER_DISRUPTED;
    if (raw > (int64_t)w[7])
        return TRUECHIMER_EXPIRED;
    if (raw < (int64_t)w[8])
        return TRUECHIMER_TOO_EARLY;
    apart = (truechimer_long_)raw - (int64_t)w[2];
    if (apart != (int64_t)apart)
        return TRUECHIMER_TOO_EARLY;
    elapsed = (int64_t)apart;
    distance = truechimer_size_(elapsed);
    for (segment = 0; segment < 6 && distance > spans[segment] * 1000000000; segment++)
        ;
    if (segment == 6)
        return elapsed < 0 ? TRUECHIMER_TOO_EARLY : TRUECHIMER_EXPIRED;
    moved = truechimer_sum_(elapsed, truechimer_part_(elapsed, (int64_t)w[6]));
    wider = truechimer_sum_(truechimer_part_(distance, (int64_t)w[9 + segment]), 2);
    out->earliest = truechimer_sum_((int64_t)w[3], truechimer_difference_(moved, wider));
    out->latest = truechimer_sum_((int64_t)w[4], truechimer_sum_(moved, wider));
    out->estimate = truechimer_sum_((int64_t)w[5], moved);
    out->synchronised = state == 1 && raw <= (int64_t)w[20];
    out->authenticated = (int)(w[1] >> 8 & 1);
    out->attested = (int)(w[1] >> 11 & 1);
    out->system_clock = (w[1] >> 9 & 1) && raw <= (int64_t)w[20];
    out->sources = (int)(w[1] >> 16 & 0xff);
    return TRUECHIMER_OK;
}

/* A mapped page, and the inode of its file. One that has expired and was replaced stays mapped: another thread may read it. */
struct truechimer_page_ {
    const uint64_t *words;
    dev_t device;
    ino_t inode;
};

/* Maps the file at the path, if it is another one than `before`; 0: it cannot, or it is the same. */
static inline int truechimer_map_(const char *path, const struct truechimer_page_ *before, struct truechimer_page_ *page)
{
    struct stat facts;
    void *place = MAP_FAILED;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (file < 0)
        return 0;
    if (fstat(file, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size >= TRUECHIMER_LENGTH_) {
        if (!before->words || before->device != facts.st_dev || before->inode != facts.st_ino)
            place = mmap(0, TRUECHIMER_LENGTH_, PROT_READ, MAP_SHARED, file, 0);
    } else {
        errno = EINVAL;
    }
    close(file);
    if (place == MAP_FAILED)
        return 0;
    page->words = (const uint64_t *)place;
    page->device = facts.st_dev;
    page->inode = facts.st_ino;
    return 1;
}

/* A whole copy of the words, and its number; 0: nothing was written yet. */
static inline uint64_t truechimer_words_(const uint64_t *page, uint64_t *words)
{
    uint64_t count = __atomic_load_n(page, __ATOMIC_ACQUIRE), same;
    int i, tries;

    for (tries = 0; tries < 1000 && count != 0; tries++) {
        const uint64_t *slot = page + 8 + (count & 1) * TRUECHIMER_WORDS_;
        for (i = 0; i < TRUECHIMER_WORDS_; i++)
            words[i] = __atomic_load_n(slot + i, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        same = __atomic_load_n(page, __ATOMIC_RELAXED);
        if (same == count)
            return count;
        count = same;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    }
    return 0;
}

/* The page of vmclock, of which the third word is the disruption marker; 0: none that this program may read. `again`: one that could
 * not be opened is tried once more. */
static inline const uint64_t *truechimer_vmclock_(int again)
{
    static const uint64_t none[3] = {0, 0, 0};
    static const uint64_t *opened;
    const uint64_t *page = __atomic_load_n(&opened, __ATOMIC_ACQUIRE), *before = page;

    if (!page || (page == none && again)) {
        struct stat facts;
        void *place = MAP_FAILED;
        int file = open(TRUECHIMER_VMCLOCK, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (file >= 0) {
            if (fstat(file, &facts) == 0
                && (S_ISCHR(facts.st_mode) || (S_ISREG(facts.st_mode) && facts.st_size >= TRUECHIMER_LENGTH_)))
                place = mmap(0, TRUECHIMER_LENGTH_, PROT_READ, MAP_SHARED, file, 0);
            close(file);
        }
        page = place == MAP_FAILED ? none : (const uint64_t *)place;
        /* Its magic and version, little-endian as all of it. */
        if (page != none && (le64toh(page[0]) << 32 >> 32 != 0x4b4c4356 || (le64toh(page[1]) & 0xffff) != 1)) {
            munmap(place, TRUECHIMER_LENGTH_);
            page = none;
        }
        /* Of several threads one sets it. */
        if (!__atomic_compare_exchange_n(&opened, &before, page, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            if (page != none)
                munmap(place, TRUECHIMER_LENGTH_);
            page = before;
        }
    }
    return page == none ? 0 : page;
}

/* What follows from a page for a while, worked out in advance: within it nothing changes but how far the interval has moved and
 * widened. As Window in the crate. Each thread has its own; a signal handler may read while it is being filled. */
struct truechimer_window_ {
    unsigned turn; /* odd while it is being filled */
    const uint64_t *page, *vmclock;
    uint64_t count, marker, length, breadth;
    int64_t from, as_of, earliest, latest, estimate, frequency, rate, wall, wall_frequency;
    int has_wall, synchronised, authenticated, attested, system_clock, sources;
};

/* Fills the window around a raw time at which the page says `said`; leaves it without length where there is anything unusual. */
static inline void truechimer_fill_(struct truechimer_window_ *it, const uint64_t *page, uint64_t count, const uint64_t *w,
                                    int64_t raw, const struct truechimer_interval *said, const uint64_t *vmclock)
{
    static const int64_t spans[7] = {-1, 64, 256, 1024, 3600, 7200, 10800};
    const int64_t room = INT64_MAX / 4, second = 1000000000;
    const int64_t since = (int64_t)w[8], until = (int64_t)w[20];
    int64_t last, elapsed;
    int segment, i, is_roomy = raw > -room && raw < room;

    if (__atomic_load_n(&it->turn, __ATOMIC_RELAXED) & 1)
        return;
    for (i = 2; i <= 5; i++)
        is_roomy &= (int64_t)w[i] > -room && (int64_t)w[i] < room;
    if (w[1] >> 10 & 1)
        for (i = 15; i <= 18; i += 1 + (i == 15))
            is_roomy &= (int64_t)w[i] > -room && (int64_t)w[i] < room;
    __atomic_store_n(&it->turn, it->turn + 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    it->length = 0;
    elapsed = is_roomy ? raw - (int64_t)w[2] : -1;
    for (segment = 1; segment < 7 && elapsed > spans[segment] * second; segment++)
        ;
    /* Of the past no window is made: who asks for that, asks for one moment. */
    if (elapsed >= 0 && segment < 7) {
        it->as_of = (int64_t)w[2];
        it->from = it->as_of + (segment == 1 ? 0 : spans[segment - 1] * second + 1);
        last = it->as_of + spans[segment] * second;
        if (since > it->from)
            it->from = since;
        if ((int64_t)w[7] < last)
            last = (int64_t)w[7];
        if (raw <= until)
            last = until < last ? until : last;
        else if (until + 1 > it->from)
            it->from = until + 1;
        it->page = page;
        it->vmclock = vmclock;
        it->count = count;
        it->marker = w[21];
        it->earliest = (int64_t)w[3];
        it->latest = (int64_t)w[4];
        it->estimate = (int64_t)w[5];
        it->frequency = (int64_t)w[6];
        it->rate = (int64_t)w[8 + segment];
        it->has_wall = (int)(w[1] >> 10 & 1);
        it->wall_frequency = (int64_t)w[16];
        it->synchronised = said->synchronised;
        it->authenticated = said->authenticated;
        it->attested = said->attested;
        it->system_clock = said->system_clock;
        it->sources = said->sources;
        it->wall = it->has_wall ? (int64_t)w[15] + (int64_t)w[17] - TRUECHIMER_TICKS_ : 0;
        it->length = (uint64_t)(last - it->from) + 1;
        if (it->has_wall) {
            /* No breadth: nothing is sure, and all is looked at closely. */
            elapsed = (int64_t)w[18] - (int64_t)w[17] + TRUECHIMER_TICKS_;
            it->breadth = (uint64_t)elapsed;
            if (elapsed < 0)
                it->length = 0;
        }
    }
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&it->turn, it->turn + 1, __ATOMIC_RELAXED);
}

/* The interval at a raw time that is inside of the window, when CLOCK_REALTIME certainly shows what it should; 0: look closely. */
static inline int truechimer_within_(const struct truechimer_window_ *it, int64_t raw, int64_t wall,
                                     struct truechimer_interval *out)
{
    const int64_t elapsed = (int64_t)((uint64_t)raw - (uint64_t)it->as_of);
    uint64_t moved, wider, expected;

    if ((uint64_t)raw - (uint64_t)it->from >= it->length)
        return 0;
    expected = (uint64_t)it->wall + (uint64_t)elapsed + (uint64_t)truechimer_part_(elapsed, it->wall_frequency);
    if (it->has_wall && (uint64_t)wall - expected > it->breadth)
        return 0;
    moved = (uint64_t)elapsed + (uint64_t)truechimer_part_(elapsed, it->frequency);
    wider = (uint64_t)truechimer_part_(elapsed, it->rate) + 2;
    out->earliest = (int64_t)((uint64_t)it->earliest + moved - wider);
    out->latest = (int64_t)((uint64_t)it->latest + moved + wider);
    out->estimate = (int64_t)((uint64_t)it->estimate + moved);
    out->synchronised = it->synchronised;
    out->authenticated = it->authenticated;
    out->attested = it->attested;
    out->system_clock = it->system_clock;
    out->sources = it->sources;
    return 1;
}

/* The interval now by what was worked out before, if the page is still that one; 0: look closely. */
static inline int truechimer_quick_(const struct truechimer_window_ *it, const uint64_t *page, struct truechimer_interval *out)
{
    const unsigned turn = __atomic_load_n(&it->turn, __ATOMIC_RELAXED);
    int64_t raw, wall;

    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (it->length == 0 || it->page != page || __atomic_load_n(page, __ATOMIC_ACQUIRE) != it->count)
        return 0;
    raw = truechimer_clock_(CLOCK_MONOTONIC_RAW);
    wall = it->has_wall ? truechimer_clock_(CLOCK_REALTIME_COARSE) : 0;
    /* After the clock: what happened before it was read is shown by now. */
    if (it->vmclock && le64toh(__atomic_load_n(it->vmclock + 2, __ATOMIC_ACQUIRE)) != it->marker)
        return 0;
    if (!truechimer_within_(it, raw, wall, out))
        return 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return !(turn & 1) && __atomic_load_n(&it->turn, __ATOMIC_RELAXED) == turn;
}

/* The interval now, by a mapped page. */
static inline int truechimer_read_(const uint64_t *page, struct truechimer_interval *out)
{
    static __thread struct truechimer_window_ window;
    static __thread uint64_t tried;
    const uint64_t *vmclock = 0;
    uint64_t words[TRUECHIMER_WORDS_], count;
    int64_t raw;
    int status;

    if (truechimer_quick_(&window, page, out))
        return TRUECHIMER_OK;
    count = truechimer_words_(page, words);
    if (!count)
        return TRUECHIMER_NO_TIME;
    /* Once more with each page where it could not be opened: it may be there, or readable, later. */
    if (words[1] >> 12 & 1)
        vmclock = truechimer_vmclock_(tried != count);
    tried = count;
    raw = truechimer_clock_(CLOCK_MONOTONIC_RAW);
    if ((words[1] >> 10 & 1)
        && !truechimer_agrees_(words, raw, truechimer_clock_(CLOCK_REALTIME_COARSE), raw, TRUECHIMER_TICKS_)) {
        /* Where ticks are rare the coarse clock is older still, and this program may have waited for the processor. */
        int64_t wall = truechimer_clock_(CLOCK_REALTIME);
        if (!truechimer_agrees_(words, raw, wall, truechimer_clock_(CLOCK_MONOTONIC_RAW), 0))
            return TRUECHIMER_DISRUPTED;
    }
    /* After the clock: what happened before it was read is shown by now. */
    if (vmclock && le64toh(__atomic_load_n(vmclock + 2, __ATOMIC_ACQUIRE)) != words[21])
        return TRUECHIMER_DISRUPTED;
    status = truechimer_at_(words, raw, out);
    if (status == TRUECHIMER_OK)
        truechimer_fill_(&window, page, count, words, raw, out, vmclock);
    return status;
}

/* True time now. Returns TRUECHIMER_OK and fills `out`, or why there is no interval. */
static inline int truechimer_now(struct truechimer_interval *out)
{
    static struct truechimer_page_ *current;
    static int64_t looked;
    static const struct truechimer_page_ none = {0, 0, 0};
    struct truechimer_page_ *page = __atomic_load_n(&current, __ATOMIC_ACQUIRE), *other;
    int status = page ? truechimer_read_(page->words, out) : TRUECHIMER_NO_PAGE;
    int64_t now;

    if (status == TRUECHIMER_OK || status == TRUECHIMER_DISRUPTED || status == TRUECHIMER_TOO_EARLY)
        return status;
    /* The first time, and once a second while what is mapped says nothing: the file may be another one by now. */
    now = truechimer_clock_(CLOCK_MONOTONIC_RAW);
    if (page && now - __atomic_load_n(&looked, __ATOMIC_RELAXED) < 1000000000)
        return status;
    __atomic_store_n(&looked, now, __ATOMIC_RELAXED);
    other = (struct truechimer_page_ *)malloc(sizeof *other);
    if (!other)
        return status;
    if (!truechimer_map_(TRUECHIMER_PAGE, page ? page : &none, other)) {
        free(other);
        return status;
    }
    /* Of several threads one sets it. A page that was replaced stays mapped: another thread may be reading it. */
    if (!__atomic_compare_exchange_n(&current, &page, other, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        munmap((void *)(uintptr_t)other->words, TRUECHIMER_LENGTH_);
        free(other);
        other = page;
    }
    return truechimer_read_(other->words, out);
}

#endif
