#include "penstock/model/unit.h"

#include "penstock/base/check.h"
#include "penstock/base/text.h"

struct unit {
    const char *name;
    uint64_t factor;
};

// Largest first: a longer text must count down through them.
static const struct unit durations[] = {
    { "d", 86400 * NS_PER_S }, { "h", 3600 * NS_PER_S }, { "m", 60 * NS_PER_S },
    { "s", NS_PER_S },         { "ms", NS_PER_MS },      { "us", NS_PER_US },
};
static const struct unit sizes[] = {
    { "TiB", UINT64_C(1) << 40 },
    { "GiB", UINT64_C(1) << 30 },
    { "MiB", UINT64_C(1) << 20 },
    { "KiB", UINT64_C(1) << 10 },
    { "B", 1 },
};

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

// Length of the leading digits, or of the leading rest without digits.
static size_t run_len(struct span text, bool digits)
{
    size_t len = 0;
    while (len < text.len && is_digit(text.ptr[len]) == digits)
        len++;
    return len;
}

static enum unit_parse parse_all(struct span text, const struct unit *units, size_t count,
                                 uint64_t *out)
{
    uint64_t sum = 0;
    size_t next = 0; // units before this one have been used or passed over
    if (text.len == 0)
        return UNIT_MALFORMED;
    while (text.len > 0) {
        const size_t digits = run_len(text, true);
        if (digits == 0)
            return UNIT_MALFORMED;
        uint64_t number;
        if (!span_u64(span_upto(text, digits), &number))
            return UNIT_OVERFLOW;
        text = span_from(text, digits);
        const size_t letters = run_len(text, false);
        if (letters == 0)
            return UNIT_MISSING;
        size_t idx = 0;
        while (idx < count && !span_eq(span_upto(text, letters), span_str(units[idx].name)))
            idx++;
        if (idx == count)
            return UNIT_UNKNOWN;
        if (idx < next)
            return UNIT_MALFORMED;
        next = idx + 1;
        if (__builtin_mul_overflow(number, units[idx].factor, &number) ||
            __builtin_add_overflow(sum, number, &sum))
            return UNIT_OVERFLOW;
        text = span_from(text, letters);
    }
    *out = sum;
    return UNIT_OK;
}

enum unit_parse duration_parse(struct span text, uint64_t *ns)
{
    return parse_all(text, durations, ARRAY_LEN(durations), ns);
}

enum unit_parse size_parse(struct span text, uint64_t *bytes)
{
    return parse_all(text, sizes, ARRAY_LEN(sizes), bytes);
}

size_t duration_format(char out[UNIT_TEXT_MAX], uint64_t ns)
{
    if (ns == 0)
        return fit_printf(out, UNIT_TEXT_MAX, "0s");
    // One unit where it is exact and short: people write 90d and 120s, and get them back.
    static const uint64_t keep = 1000;
    for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
        const uint64_t count = ns / durations[i].factor;
        if (ns % durations[i].factor == 0 && count > 0 && count < keep)
            return fit_printf(out, UNIT_TEXT_MAX, "%llu%s", (unsigned long long)count,
                              durations[i].name);
    }
    size_t len = 0;
    for (size_t i = 0; i < ARRAY_LEN(durations) && ns > 0; i++) {
        const uint64_t count = ns / durations[i].factor;
        ns %= durations[i].factor;
        if (count > 0)
            len += fit_printf(out + len, UNIT_TEXT_MAX - len, "%llu%s", (unsigned long long)count,
                              durations[i].name);
        assert(len < UNIT_TEXT_MAX);
    }
    return len; // what is below a microsecond is not written; no text makes it
}

size_t size_format(char out[UNIT_TEXT_MAX], uint64_t bytes)
{
    size_t idx = 0;
    while (idx + 1 < ARRAY_LEN(sizes) && (bytes == 0 || bytes % sizes[idx].factor != 0))
        idx++;
    return fit_printf(out, UNIT_TEXT_MAX, "%llu%s", (unsigned long long)(bytes / sizes[idx].factor),
                      sizes[idx].name);
}

// Days since 1970 of a date in the Gregorian calendar and back, after Howard Hinnant's
// "chrono-compatible low-level date algorithms": years begin in March, so that the leap day ends
// one.
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2 ? 1 : 0;
    const int64_t era = year / 400;
    const int64_t year_of_era = year - era * 400;
    const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static void date_of(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    days += 719468;
    const int64_t era = days / 146097;
    const int64_t day_of_era = days - era * 146097;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t shifted = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * shifted + 2) / 5 + 1;
    *month = shifted < 10 ? shifted + 3 : shifted - 9;
    *year = year_of_era + era * 400 + (*month <= 2 ? 1 : 0);
}

// Takes `count` digits and then `mark`, unless it is 0, from the front.
static bool take(struct span *text, size_t count, char mark, int64_t *out)
{
    const size_t need = count + (mark != 0 ? 1 : 0);
    uint64_t number;
    if (text->len < need || !span_u64(span_upto(*text, count), &number))
        return false;
    if (mark != 0 && text->ptr[count] != mark)
        return false;
    *text = span_from(*text, need);
    *out = (int64_t)number;
    return true;
}

enum { YEAR_MIN = 1970, YEAR_MAX = 2553 }; // what fits 64 bits of nanoseconds

static bool is_date(int64_t year, int64_t month, int64_t day)
{
    static const int8_t lens[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    if (year < YEAR_MIN || year > YEAR_MAX || month < 1 || month > 12 || day < 1)
        return false;
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= lens[month - 1] + (month == 2 && leap ? 1 : 0);
}

static bool take_fraction(struct span *text, uint64_t *ns)
{
    *ns = 0;
    if (text->len == 0 || text->ptr[0] != '.')
        return true;
    *text = span_from(*text, 1);
    const size_t digits = run_len(*text, true);
    if (digits == 0 || digits > 9)
        return false;
    for (size_t i = 0; i < 9; i++)
        *ns = *ns * 10 + (i < digits ? (uint64_t)(text->ptr[i] - '0') : 0);
    *text = span_from(*text, digits);
    return true;
}

bool time_parse(struct span text, uint64_t *ns)
{
    int64_t year, month, day, hour = 0, minute = 0, second = 0;
    uint64_t fraction = 0;
    if (!take(&text, 4, '-', &year) || !take(&text, 2, '-', &month) || !take(&text, 2, 0, &day))
        return false;
    if (text.len > 0) {
        if (text.ptr[0] != 'T' && text.ptr[0] != ' ')
            return false;
        text = span_from(text, 1);
        if (!take(&text, 2, ':', &hour) || !take(&text, 2, ':', &minute) ||
            !take(&text, 2, 0, &second) || !take_fraction(&text, &fraction))
            return false;
        if (!span_eq(text, SPAN("Z")) && !span_eq(text, SPAN("+00:00")))
            return false;
    }
    if (!is_date(year, month, day) || hour > 23 || minute > 59 || second > 59)
        return false;
    const int64_t seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *ns = (uint64_t)seconds * NS_PER_S + fraction;
    return true;
}

size_t time_format(char out[UNIT_TEXT_MAX], uint64_t ns)
{
    const uint64_t seconds = ns / NS_PER_S;
    uint64_t fraction = ns % NS_PER_S;
    int64_t year, month, day;
    date_of((int64_t)(seconds / 86400), &year, &month, &day);
    const unsigned of_day = (unsigned)(seconds % 86400);
    size_t len = fit_printf(out, UNIT_TEXT_MAX, "%04d-%02d-%02dT%02u:%02u:%02u", (int)year,
                            (int)month, (int)day, of_day / 3600, of_day / 60 % 60, of_day % 60);
    if (fraction > 0) {
        int digits = 9;
        for (; fraction % 10 == 0; digits--)
            fraction /= 10;
        len += fit_printf(out + len, UNIT_TEXT_MAX - len, ".%0*llu", digits,
                          (unsigned long long)fraction);
    }
    return len + fit_printf(out + len, UNIT_TEXT_MAX - len, "Z");
}
