// A client that sends requests for as long as it can and reads no answer: what is queued for it
// must stay bounded, and it must be given up.
#include "relay_sim.h"

static const char question[] = "GET /livez HTTP/1.1\r\nhost: gateway\r\n\r\n";

static void on_flood(void *arg)
{
    struct flood *flood = arg;
    if (sim_state(flood->peer) != SIM_OPEN)
        return;
    for (size_t room = sim_room(flood->peer); room > 0; room = sim_room(flood->peer)) {
        size_t at = flood->written % (sizeof(question) - 1);
        flood->written += sim_write(flood->peer, question + at, sizeof(question) - 1 - at);
    }
}

void flood_start(struct flood *flood, struct sim_world *world)
{
    struct sockaddr_in addr = world_addr("10.0.0.", 1, SIM_PORT);
    flood->peer = sim_dial(world->sim, (struct sockaddr *)&addr, sizeof(addr));
    sim_on_event(flood->peer, on_flood, flood);
    world_note(world, "a flood begins");
}

void flood_end(struct flood *flood)
{
    if (flood->peer != NULL)
        sim_reset(&flood->peer);
}
