#include "penstock/net/budget.h"

#include "penstock/base/check.h"

#include <stdatomic.h>

void budget_init(struct budget *budget, struct budget_process *process)
{
    assert(process->limit > 0);
    *budget = (struct budget){ .process = process };
}

void budget_report(struct budget *budget)
{
    int64_t unreported = budget->used - budget->reported;
    atomic_fetch_add_explicit(&budget->process->used, unreported, memory_order_relaxed);
    budget->reported = budget->used;
}

enum budget_level budget_level(const struct budget *budget)
{
    int64_t used = atomic_load_explicit(&budget->process->used, memory_order_relaxed);
    int64_t limit = budget->process->limit;
    if (unlikely(used > limit / 100 * BUDGET_SHED_PERCENT))
        return BUDGET_SHED;
    return unlikely(used > limit / 100 * BUDGET_SHRINK_PERCENT) ? BUDGET_SHRINK : BUDGET_NORMAL;
}
