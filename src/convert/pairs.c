#include "pairs.h"

uint32_t group_first(const struct prompt *prompt)
{
    uint32_t turn = 0;
    while (turn < prompt->turn_count && prompt->turns[turn].role == ROLE_SYSTEM &&
           !prompt->turns[turn].late)
        turn++;
    return turn;
}

struct group group_at(const struct prompt *prompt, uint32_t turn)
{
    struct group group = { .turn = turn };
    if (turn >= prompt->turn_count)
        return group;
    group.assistant = prompt->turns[turn].role == ROLE_ASSISTANT;
    group.part = prompt->turns[turn].first;
    for (; turn < prompt->turn_count; turn++) {
        if ((prompt->turns[turn].role == ROLE_ASSISTANT) != group.assistant)
            break;
        group.turn_count++;
        group.part_count += prompt->turns[turn].count;
    }
    return group;
}

const struct part *result_of(const struct prompt *prompt, const struct group *group,
                             const struct part *call)
{
    const struct part *found = NULL;
    for (uint32_t i = 0; i < group->part_count; i++) {
        const struct part *part = &prompt->parts[group->part + i];
        if (part->kind == PART_RESULT && words_eq(part->id, call->id))
            found = part;
    }
    return found;
}

const struct part *call_of_result(const struct prompt *prompt, const struct group *group,
                                  const struct part *result)
{
    for (uint32_t i = 0; i < group->part_count; i++) {
        const struct part *part = &prompt->parts[group->part + i];
        if (part->kind == PART_CALL && words_eq(part->id, result->id))
            return part;
    }
    return NULL;
}

uint32_t inner_count(const struct prompt *prompt, const struct part *result)
{
    uint32_t at = (uint32_t)(result - prompt->parts) + 1, count = 0;
    while (at + count < prompt->part_count && prompt->parts[at + count].inner)
        count++;
    return count;
}
