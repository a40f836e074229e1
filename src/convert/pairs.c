#include "pairs.h"

#include "penstock/convert/sink.h"

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

// --- who answers whom ---

// The calls of one turn by their ids, open addressing. A second call with an id has a place of its
// own in the list of those, and a name of its own once results have found their calls.
struct id_slot {
    uint32_t key;        // index and one of the first call, which keeps the id; 0: free
    uint32_t next, last; // the same of the next one to be answered, and of the last
    uint32_t number;     // in the last name that was made of the id
};

struct linking {
    const struct render *render;
    struct id_slot *slots;
    uint64_t mask;
    uint32_t *next; // by the call's place in its group: the next one with its id, and one
    struct group calls;
};

static struct part *part_at(const struct linking *linking, uint32_t index)
{
    return &linking->render->prompt->parts[index];
}

static struct id_slot *slot_of(const struct linking *linking, struct words id)
{
    uint64_t at = words_hash(id) & linking->mask;
    while (linking->slots[at].key != 0 &&
           !words_eq(part_at(linking, linking->slots[at].key - 1)->id, id))
        at = (at + 1) & linking->mask;
    return &linking->slots[at];
}

static void add_call(struct linking *linking, uint32_t index)
{
    struct id_slot *slot = slot_of(linking, part_at(linking, index)->id);
    if (slot->key == 0)
        *slot = (struct id_slot){ .key = index + 1, .next = index + 1, .number = 1 };
    else
        linking->next[slot->last - 1 - linking->calls.part] = index + 1;
    slot->last = index + 1;
}

// Results of calls with one id answer them in their order; those beyond answer the last again, and
// of these the last counts (C-009).
static void add_result(struct linking *linking, uint32_t index)
{
    struct part *result = part_at(linking, index);
    struct id_slot *slot = slot_of(linking, result->id);
    if (slot->key == 0)
        return;
    struct part *call = part_at(linking, slot->next - 1);
    result->mate = slot->next;
    if (call->mate > 0) {
        char path[LOSS_PATH_MAX];
        (void)prompt_path(linking->render->prompt, part_at(linking, call->mate - 1), path);
        loss_drop(linking->render->losses, "%s", path);
    }
    call->mate = index + 1;
    const uint32_t next = linking->next[slot->next - 1 - linking->calls.part];
    if (next > 0)
        slot->next = next;
}

// The second of two calls with one id is `id_2`, unless a third has that name (C-009).
static bool rename_call(struct linking *linking, uint32_t index)
{
    enum { DIGITS_MAX = 12 };
    struct part *call = part_at(linking, index);
    const struct words id = call->id;
    struct id_slot *slot = slot_of(linking, id);
    char *room = scratch_take(linking->render->scratch, id.raw.len + DIGITS_MAX);
    if (room == NULL)
        return false;
    struct words made = id;
    struct id_slot *own;
    do {
        struct sink sink = sink_into(room, id.raw.len + DIGITS_MAX);
        sink_put(&sink, id.raw);
        SINK_TEXT(&sink, "_");
        sink_u64(&sink, ++slot->number);
        made.raw = span_of(room, (size_t)(sink.at - room));
        own = slot_of(linking, made);
    } while (own->key != 0);
    own->key = index + 1;
    call->id = made;
    return true;
}

static uint32_t calls_in(const struct prompt *prompt, const struct group *group)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < group->part_count; i++)
        count += prompt->parts[group->part + i].kind == PART_CALL;
    return count;
}

// The calls of a group and the results in the one behind it. False: no memory.
static bool link_group(struct linking *linking, const struct group *group, uint32_t calls)
{
    const struct prompt *prompt = linking->render->prompt;
    const struct group behind = group_at(prompt, group->turn + group->turn_count);
    linking->calls = *group;
    for (linking->mask = 8; linking->mask < 4 * (uint64_t)calls;) // half are for new names
        linking->mask *= 2;
    memset(linking->slots, 0, linking->mask * sizeof(*linking->slots));
    memset(linking->next, 0, group->part_count * sizeof(*linking->next));
    linking->mask--;
    for (uint32_t i = group->part; i < group->part + group->part_count; i++)
        if (prompt->parts[i].kind == PART_CALL)
            add_call(linking, i);
    for (uint32_t i = behind.part; i < behind.part + behind.part_count; i++)
        if (prompt->parts[i].kind == PART_RESULT)
            add_result(linking, i);
    for (uint32_t i = group->part; i < group->part + group->part_count; i++)
        if (linking->next[i - group->part] > 0 &&
            !rename_call(linking, linking->next[i - group->part] - 1))
            return false;
    for (uint32_t i = behind.part; i < behind.part + behind.part_count; i++)
        if (prompt->parts[i].mate > 0)
            part_at(linking, i)->id = prompt->parts[prompt->parts[i].mate - 1].id;
    return true;
}

bool pairs_link(struct render *render)
{
    const struct prompt *prompt = render->prompt;
    struct linking linking = { .render = render };
    struct group group;
    uint32_t most = 0, parts = 0;
    for (uint32_t i = 0; i < prompt->part_count; i++)
        prompt->parts[i].mate = 0; // of an earlier rendering
    for (uint32_t turn = 0; turn < prompt->turn_count; turn += group.turn_count) {
        group = group_at(prompt, turn);
        if (group.assistant) {
            most = (uint32_t)max_u64(most, calls_in(prompt, &group));
            parts = (uint32_t)max_u64(parts, group.part_count);
        }
    }
    if (most == 0)
        return true;
    linking.slots = scratch_take(render->scratch, 8 * ((size_t)most + 1) * sizeof(*linking.slots));
    linking.next = scratch_take(render->scratch, parts * sizeof(*linking.next));
    if (linking.slots == NULL || linking.next == NULL)
        return false;
    for (uint32_t turn = 0; turn < prompt->turn_count; turn += group.turn_count) {
        group = group_at(prompt, turn);
        const uint32_t calls = group.assistant ? calls_in(prompt, &group) : 0;
        if (calls > 0 && !link_group(&linking, &group, calls))
            return false;
    }
    return true;
}

uint32_t inner_count(const struct prompt *prompt, const struct part *result)
{
    uint32_t at = (uint32_t)(result - prompt->parts) + 1, count = 0;
    while (at + count < prompt->part_count && prompt->parts[at + count].inner)
        count++;
    return count;
}
