// skeleton_match.h - how a text is held against a skeleton, for vectors of any kind: included once
// for each set of searches that codec/simd.h chooses from; private to src/codec.
//
// The includer defines SET(name), which makes names its own, TARGET, an attribute for its
// functions, and three of them. The first compares at least a vector; the others look at one, which
// is SKELETON_VECTOR bytes, and return a bit for each:
//
//     SET(same_long)(at, kept, len)
//     SET(unlike)(at, kept)       the bytes that differ
//     SET(stops)(at, &high)       what ends or interrupts a string; high: what is not ASCII
//
// Where no whole vector is left of a text, the last one is looked at, of which `back` bytes lie
// before the place that is meant.

// Passes on from `at` in a string's contents. A bare control byte, or half an escape, is not
// passed, so that what follows cannot match. *odd: there were escapes, or bytes that are not ASCII.
TARGET static const char *SET(string_end)(const char *at, const char *end, uint64_t *odd)
{
    const char *const far = end - SKELETON_VECTOR;
    *odd = 0;
    unsigned quiet = 0;
    for (int escapes = 0; escapes < ESCAPES_MAX && quiet < QUIET_MAX && at < end;) {
        const unsigned back = at <= far ? 0 : (unsigned)(at - far);
        uint32_t high;
        const uint64_t stops = (uint64_t)SET(stops)(at - back, &high) >> back;
        *odd |= high >> back & (stops ^ (stops - 1));
        if (stops == 0) {
            at += SKELETON_VECTOR - back;
            quiet++;
            continue;
        }
        at += __builtin_ctzll(stops);
        if (*at != '\\' || end - at < 2 || (unsigned char)at[1] < 0x20)
            return at;
        *odd = 1;
        at += 2; // whether there is such an escape is not for us to judge
        escapes++;
    }
    return at < end ? long_string(at, end, odd) : at;
}

// The same where a few whole vectors lead up to a quote; otherwise NULL. *odd may be set for what
// stands behind the quote in the last of them.
TARGET static inline const char *SET(string_end_near)(const char *at, const char *far,
                                                      uint64_t *odd)
{
    uint32_t seen = 0, high;
    const char *const last =
        far - at < VECTORS_MAX * SKELETON_VECTOR ? far : at + (VECTORS_MAX - 1) * SKELETON_VECTOR;
    while (likely(at <= last)) {
        const uint32_t stops = SET(stops)(at, &high);
        seen |= high;
        if (unlikely(stops == 0)) {
            at += SKELETON_VECTOR;
            continue;
        }
        at += __builtin_ctz(stops);
        *odd = seen;
        if (likely(*at == '"'))
            return at;
        if (*at != '\\' || at >= far || (unsigned char)at[1] < 0x20)
            return NULL;
        seen = 1;
        at += 2; // as above
    }
    return NULL;
}

TARGET static const char *SET(match_tough)(const struct skeleton_part *part, const char *kept,
                                           const char *at, const char *far, ptrdiff_t slack,
                                           struct filling *holes);

// Matches from a part on, up to `far` and a vector. Of the bytes that are left, all but `slack` are
// needed for parts. Returns where the likeness ends, NULL if there is none. What stands in the last
// bytes of the text is seen only if `tough`, and otherwise left to the function that is. The other
// calls nothing on its way, which makes it cheap.
TARGET static inline __attribute__((always_inline)) const char *SET(match_from)(
    const struct skeleton_part *part, const char *kept, const char *at, const char *far,
    ptrdiff_t slack, struct filling *holes, const bool tough)
{
    for (;; part++, holes++) {
        const size_t len = part->len;
        if (len >= SKELETON_VECTOR) {
            if (!SET(same_long)(at, kept, len))
                return NULL;
        } else {
            if (unlikely(!tough && at > far))
                return SET(match_tough)(part, kept, at, far, slack, holes);
            const unsigned back = !tough || at <= far ? 0 : (unsigned)(at - far);
            if ((SET(unlike)(at - back, kept - back) & (uint64_t)part->mask << back) != 0)
                return NULL;
        }
        at += len;
        const char *stop;
        if (part->kind == HOLE_STRING) {
            stop = SET(string_end_near)(at, far, &holes->number);
            if (unlikely(stop == NULL && !tough))
                return SET(match_tough)(part, kept, at - len, far, slack, holes);
            if (stop == NULL)
                stop = SET(string_end)(at, far + SKELETON_VECTOR, &holes->number);
        } else if (part->kind == HOLE_NONE) {
            return at;
        } else {
            stop = NULL;
            if (likely(part->kind == HOLE_DIGITS && at <= far && LITTLE_ENDIAN_BYTES))
                stop = digits_end_near(at, &holes->number);
            if (unlikely(stop == NULL && !tough))
                return SET(match_tough)(part, kept, at - len, far, slack, holes);
            if (stop == NULL)
                stop = part->kind == HOLE_DIGITS
                           ? digits_end(at, far + SKELETON_VECTOR, &holes->number)
                       : part->kind == HOLE_LINE ? scan_value(at, far + SKELETON_VECTOR)
                                                 : number_end(at, far + SKELETON_VECTOR);
            if (unlikely(stop == NULL))
                return NULL;
        }
        kept += len;
        holes->text = span_of(at, (size_t)(stop - at));
        slack -= stop - at;
        at = stop;
        if (unlikely(slack < 0))
            return NULL;
    }
}

TARGET static apart const char *SET(match_tough)(const struct skeleton_part *part, const char *kept,
                                                 const char *at, const char *far, ptrdiff_t slack,
                                                 struct filling *holes)
{
    return SET(match_from)(part, kept, at, far, slack, holes, true);
}

TARGET const char *SET(skeleton_match)(const struct skeleton *skeleton, struct span text,
                                       struct filling *holes)
{
    const ptrdiff_t slack = (ptrdiff_t)text.len - skeleton->len;
    if (slack < 0)
        return NULL;
    return SET(match_from)(skeleton->parts, skeleton->bytes, text.ptr,
                           text.ptr + text.len - SKELETON_VECTOR, slack, holes, false);
}

#undef SET
#undef TARGET
