// Requests that went to a vendor of another format, and what was lost on the way.
#include "metrics_impl.h"

_Static_assert(FIGURES_FAMILIES == FAMILY_GEMINI + 1, "every family is counted");

static const char *const losses[FIGURES_LOSSES] = {
    [FIGURES_ADJUSTED] = "adjusted",
    [FIGURES_DROPPED] = "dropped",
    [FIGURES_REFUSED] = "refused",
    [FIGURES_UNSAID] = "unsaid",
};

static uint64_t sum(const struct view *view, unsigned from, unsigned to, size_t at)
{
    const size_t pair = from * FIGURES_FAMILIES + to;
    return metric_sum(view, offsetof(struct shard_counters, conversions) +
                                pair * sizeof(struct figures_conversion) + at);
}

void metrics_convert(const struct view *view, struct text *out)
{
    const char *name = "penstock_conversions_total";
    char labels[METRIC_LABELS_MAX];
    metric_head(out, name, "counter",
                "Requests rendered for a vendor of another format, by both formats.");
    for (unsigned pair = 0; pair < FIGURES_FAMILIES * FIGURES_FAMILIES; pair++) {
        const unsigned from = pair / FIGURES_FAMILIES, to = pair % FIGURES_FAMILIES;
        const uint64_t count = sum(view, from, to, offsetof(struct figures_conversion, requests));
        if (count == 0)
            continue;
        fit_printf(labels, sizeof(labels), "from=\"%s\",to=\"%s\"",
                   metric_family((enum wire_family)from), metric_family((enum wire_family)to));
        metric_sample(out, name, labels, count);
    }
    name = "penstock_translate_losses_total";
    metric_head(out, name, "counter",
                "Settings and parts of requests that another format could not carry as they were, "
                "and parts of answers that it could not say.");
    for (unsigned i = 0; i < FIGURES_FAMILIES * FIGURES_FAMILIES * FIGURES_LOSSES; i++) {
        const unsigned loss = i % FIGURES_LOSSES, pair = i / FIGURES_LOSSES;
        const unsigned from = pair / FIGURES_FAMILIES, to = pair % FIGURES_FAMILIES;
        const size_t at =
            offsetof(struct figures_conversion, losses) + loss * sizeof(struct counter);
        const uint64_t count = sum(view, from, to, at);
        if (count == 0)
            continue;
        fit_printf(labels, sizeof(labels), "from=\"%s\",to=\"%s\",kind=\"%s\"",
                   metric_family((enum wire_family)from), metric_family((enum wire_family)to),
                   losses[loss]);
        metric_sample(out, name, labels, count);
    }
}
