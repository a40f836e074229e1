#include "penstock/net/budget.h"

#include "penstock/base/check.h"

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
