// Who makes room when there is no place for a new connection.
//
// A connection on which nothing is under way may be closed: it is one of two lists, those that have
// never sent a byte and those that were answered and kept, each in the order of their last
// activity. A kept connection is taken out of its list not when its next head comes, which would
// cost every request, but when it is met here: each meeting was paid for by one entry.
//
// Where there are many silent ones, they go first, so that a crowd of them drives out itself and
// not the clients that were served before. A new connection is one of them until its first byte
// comes, so each has a moment's grace; and as long as they are few, the oldest of either kind goes.
#include "penstock/base/check.h"
#include "penstock/base/guard.h"
#include "serve.h"

#define ROOM_GRACE_NS (UINT64_C(50) * NS_PER_MS)
enum { ROOM_LOOKS_MAX = 256 }; // a turn

static struct serve *oldest(struct server *server, enum idle_kind kind)
{
    struct list *list = &server->idle[kind];
    return list_is_empty(list) ? NULL : container_of(list->next, struct serve, idle);
}

// Whose turn it is, not before `*at_ns`. NULL: nobody's.
static struct serve *room_next(struct server *server, uint64_t *at_ns)
{
    struct serve *silent = oldest(server, IDLE_SILENT), *kept = oldest(server, IDLE_KEPT);
    // Who comes is silent at first, and takes the places that come free.
    const bool few =
        server->silent_count + server->leaving <= server->limits.connections / SERVE_SILENT_SHARE;
    struct serve *first = silent;
    if (kept != NULL && few && (first == NULL || kept->idle_ns < first->idle_ns))
        first = kept;
    if (first != NULL)
        *at_ns = first->idle_ns + ROOM_GRACE_NS;
    return first;
}

static void room_take(struct serve *serve)
{
    struct server *server = serve->server;
    const struct conn *conn = serve->conn;
    if (serve->state != SERVE_HEAD || conn->rx_len > 0) { // listed again when it is idle again
        room_speak(serve);
        list_take(&serve->idle);
    } else if (!conn_is_quiet(conn)) {
        room_enter(serve);
    } else {
        server->evicted[serve->is_silent ? IDLE_SILENT : IDLE_KEPT]++;
        serve_close(serve, WHY_EVICTED, false);
    }
}

// In the round of tasks, when every connection has been told what came in this turn.
static void room_run(struct task *task)
{
    struct server *server = container_of(task, struct server, room);
    const uint64_t now = server->net->loop->now_ns;
    uint64_t at = now + ACCEPT_RETRY_NS;
    int looks = 0;
    pass_parked(server);
    while (server->leaving < server->parked_slab.count_out && looks < ROOM_LOOKS_MAX) {
        struct serve *serve = room_next(server, &at);
        if (serve == NULL || at > now || !GUARD(SERVE_ROOM))
            break;
        room_take(serve);
        at = now + ACCEPT_RETRY_NS;
        looks++;
    }
    if (looks == ROOM_LOOKS_MAX)
        at = now; // goes on in the next turn
    if (!list_is_empty(&server->parked))
        accept_later(server, at);
}

void room_init(struct server *server)
{
    for (int kind = 0; kind < IDLE_KIND_COUNT; kind++)
        list_init(&server->idle[kind]);
    task_init(&server->room, room_run);
}
