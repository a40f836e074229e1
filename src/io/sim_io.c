// sim_io.c - the backend: operations of the product, and their completions.
//
// An operation that something happened to is ready, and is looked at in the next turn of its io:
// what it can do becomes completions in a queue, which the turn tells in order. So a completion may
// wait in the queue while its operation is cancelled or its descriptor closed, as in a kernel's.
#include "sim_world.h"

#include <poll.h>
#include <stdlib.h>

enum {
    RECV_LOOK_MAX = 16, // completions of one receive before others are looked at
    ACCEPT_LOOK_MAX = 64,
    FEW_MAX = 4, // completions of a turn that tells few
};

static struct sim_io *sim_io_of(struct io *io)
{
    return container_of(io, struct sim_io, io);
}

static struct sim_op *sim_op_of(struct io_op *op)
{
    return op->kept;
}

// --- what is to be looked at

// Looks at it in the next turn; ahead of the others if the dice say so.
static void op_ready(struct sim_op *op)
{
    if (op->ready || op->ended)
        return;
    op->ready = true;
    op->parked = false;
    list_take(&op->link);
    if (sim_chance(op->io->sim, op->io->sim->profile.shuffle))
        list_push_front(&op->io->ready, &op->link);
    else
        list_push_back(&op->io->ready, &op->link);
}

static void op_schedule(struct sim_op *op, enum sim_event_kind kind)
{
    struct sim *sim = op->io->sim;
    op->events++;
    sim_schedule(sim, sim_now(sim) + sim_between(sim, 1, sim->profile.delay_ns_max), kind, op, 0);
}

// Something happened that it waits for. It may notice late.
static void op_touch(struct sim_op *op)
{
    if (op == NULL || op->ready || op->ended || op->late || op->parked)
        return;
    op->late = sim_chance(op->io->sim, op->io->sim->profile.delay);
    if (op->late)
        op_schedule(op, EV_LOOK);
    else
        op_ready(op);
}

void sim_file_touch(struct sim_file *file)
{
    op_touch(file->in);
    op_touch(file->out);
    for (struct list *at = file->polls.next; at != &file->polls; at = at->next)
        op_touch(container_of(at, struct sim_op, poll_link));
}

void sim_op_release(struct sim_op *op)
{
    if (op->op == NULL && op->events == 0)
        free(op);
}

// --- completions

static void op_detach(struct sim_op *op)
{
    list_take(&op->link);
    list_take(&op->poll_link);
    op->ready = op->parked = false;
    if (op->file == NULL)
        return;
    if (op->file->in == op)
        op->file->in = NULL;
    if (op->file->out == op)
        op->file->out = NULL;
    op->file = NULL;
}

static void op_push(struct sim_op *op, struct io_done done)
{
    assert(!op->ended);
    struct sim_cqe *cqe = sim_alloc(sizeof(*cqe));
    *cqe = (struct sim_cqe){ .op = op, .done = done };
    list_push_back(&op->io->cqes, &cqe->link);
    sim_note(op->io->sim, "complete", op->op->kind, done.res, done.flags);
}

// The last completion: from here on only the queue knows the operation.
static void op_end(struct sim_op *op, struct io_done done)
{
    done.flags = 0;
    op_push(op, done);
    op->ended = true;
    op_detach(op);
}

static void op_result(struct sim_op *op, int res)
{
    op_end(op, (struct io_done){ .res = res });
}

// True for a multishot that the kernel ends before its time.
static bool op_ends_early(struct sim_op *op)
{
    return sim_chance(op->io->sim, op->io->sim->profile.early_end);
}

// --- one look at each kind

// What reading tells when no bytes are there: 1 for nothing yet.
static int end_verdict(struct sim_end *end)
{
    if (end_rx(end)->fin_arrived)
        return 0;
    int error = end->error;
    end->error = 0;
    if (error != 0)
        return -error;
    return end->dead ? 0 : 1;
}

static size_t recv_len(struct sim *sim, struct sim_end *end, size_t cap)
{
    size_t len = min_size(cap, sim_pipe_readable(end_rx(end)));
    if (len > 1 && sim_chance(sim, sim->profile.short_io))
        len = 1 + sim_below(sim, len - 1);
    return len;
}

// A buffer for a receive; NULL, and the operation waits, when there is none or the dice say so.
static struct buf *recv_buf(struct sim_op *op)
{
    struct sim_io *io = op->io;
    struct buf *buf = NULL;
    bool starve = sim_chance(io->sim, io->sim->profile.starve);
    if (!starve)
        buf = bufpool_take(&io->io.bufs, op->op->cls);
    if (buf != NULL)
        return buf;
    io->io.stats.no_buffers++;
    op->parked = true;
    if (starve) {
        op->late = true;
        op_schedule(op, EV_LOOK);
    } else {
        io->io.bufs.starved = true;
        list_push_back(&io->parked[op->op->cls], &op->link);
    }
    return NULL;
}

static void look_recv(struct sim_op *op)
{
    struct sim_end *end = op->file->end;
    for (int i = 0; i < RECV_LOOK_MAX && sim_pipe_readable(end_rx(end)) > 0; i++) {
        struct buf *buf = recv_buf(op);
        if (buf == NULL)
            return;
        size_t len = recv_len(op->io->sim, end, min_size(buf->cap, op->op->credit - op->taken));
        verify(sim_end_read(end, buf->data, len) == len);
        op->taken += (uint32_t)len;
        struct io_done done = { .res = (int32_t)len, .flags = IO_MORE, .buf = buf };
        if (op->taken == op->op->credit || op_ends_early(op)) {
            op_end(op, done);
            return;
        }
        op_push(op, done);
    }
    if (sim_pipe_readable(end_rx(end)) > 0) {
        op_ready(op);
        return;
    }
    int verdict = end_verdict(end);
    if (verdict <= 0)
        op_result(op, verdict);
}

static void look_recv_into(struct sim_op *op)
{
    struct sim_end *end = op->file->end;
    size_t len = recv_len(op->io->sim, end, op->op->into_len);
    if (len > 0) {
        verify(sim_end_read(end, op->op->into, len) == len);
        op_result(op, (int)len);
        return;
    }
    int verdict = end_verdict(end);
    if (verdict <= 0)
        op_result(op, verdict);
}

// Why nothing can be sent; 0 if something can.
static int send_error(struct sim_end *end)
{
    int error = end->error;
    end->error = 0;
    if (error == 0 && (end->dead || end_tx(end)->fin_put))
        error = EPIPE;
    return error;
}

// Sends what there is room for behind the first `*sent` bytes. Returns the sum of all segments.
static size_t send_some(struct sim *sim, struct sim_end *end, const struct iovec *iov,
                        uint32_t count, uint32_t *sent)
{
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t before = total;
        total += iov[i].iov_len;
        if (*sent < before || *sent >= total)
            continue; // an earlier segment comes first, or this one is gone
        size_t len = min_size(total - *sent, sim_end_room(end));
        if (len > 1 && sim_chance(sim, sim->profile.short_io))
            len = 1 + sim_below(sim, len - 1);
        *sent +=
            (uint32_t)sim_end_write(end, (const char *)iov[i].iov_base + (*sent - before), len);
    }
    assert(total <= INT32_MAX);
    return total;
}

// Bytes leave the caller's memory as late as in life: when the connection has room.
static void look_send(struct sim_op *op)
{
    struct sim_end *end = op->file->end;
    int error = send_error(end);
    if (error != 0) {
        op_result(op, op->sent > 0 ? (int)op->sent : -error);
        return;
    }
    size_t total = send_some(op->io->sim, end, op->op->iov, op->op->count, &op->sent);
    if (op->sent == total)
        op_result(op, (int)total);
    else if (sim_end_room(end) > 0)
        op_ready(op); // sent in pieces
}

static void look_accept(struct sim_op *op)
{
    struct sim_io *io = op->io;
    struct sim_listener *listener = op->file->listener;
    for (int i = 0; i < ACCEPT_LOOK_MAX && listener->queued > 0; i++) {
        if (sim_chance(io->sim, io->sim->profile.accept_error)) {
            static const int errors[] = { EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED };
            op_result(op, -errors[sim_below(io->sim, ARRAY_LEN(errors))]);
            return;
        }
        struct sim_file *file = sim_file_new(io->sim, FILE_STREAM);
        if (file == NULL) {
            op_result(op, -EMFILE);
            return;
        }
        file->end = sim_listener_pop(listener);
        file->end->file = file;
        struct io_done done = { .res = file->fd, .flags = IO_MORE };
        if (op_ends_early(op)) {
            op_end(op, done);
            return;
        }
        op_push(op, done);
    }
    if (listener->queued > 0)
        op_ready(op);
}

// Closes a connect's descriptor, which its caller never learnt.
static void connect_undo(struct sim_op *op)
{
    struct sim_file *file = op->file;
    op_detach(op);
    if (file == NULL)
        return;
    sim_end_close(file->end, false);
    sim_file_free(op->io->sim, file);
}

// The first look dials; until then `into` and `into_len` are the address.
static void look_connect(struct sim_op *op)
{
    struct sim *sim = op->io->sim;
    if (op->file == NULL) {
        struct sim_file *file = sim_file_new(sim, FILE_STREAM);
        if (file == NULL) {
            op_result(op, -EMFILE);
            return;
        }
        struct sim_conn *conn =
            sim_conn_new(sim, (const void *)op->op->into, (socklen_t)op->op->into_len);
        file->end = &conn->end[0];
        file->end->file = file;
        file->out = op;
        op->file = file;
        sim_conn_syn(conn);
        return;
    }
    struct sim_end *end = op->file->end;
    if (end->connecting)
        return;
    if (end->refused || end->dead) {
        int error = end->refused ? ECONNREFUSED : ECONNRESET;
        connect_undo(op);
        op_result(op, -error);
        return;
    }
    op_result(op, op->file->fd);
}

static uint32_t file_ready(const struct sim_file *file)
{
    if (file->kind == FILE_FOREIGN)
        return file->ready;
    if (file->kind == FILE_LISTENER)
        return file->listener->queued > 0 ? POLLIN : 0;
    struct sim_end *end = file->end;
    uint32_t ready = 0;
    if (sim_pipe_readable(end_rx(end)) > 0 || end_rx(end)->fin_arrived || end->dead)
        ready |= POLLIN;
    if (sim_end_room(end) > 0 || end->dead)
        ready |= POLLOUT;
    if (end_rx(end)->fin_arrived || end->dead)
        ready |= POLLRDHUP;
    if (end->dead)
        ready |= POLLERR | POLLHUP;
    return ready;
}

static void look_poll(struct sim_op *op)
{
    uint32_t ready = file_ready(op->file) & (op->wanted | POLLERR | POLLHUP);
    if (ready != 0)
        op_result(op, (int)ready);
}

static void op_look(struct sim_op *op)
{
    assert(!op->ended);
    switch ((enum io_kind)op->op->kind) {
    case IO_ACCEPT: look_accept(op); return;
    case IO_RECV: look_recv(op); return;
    case IO_RECV_INTO: look_recv_into(op); return;
    case IO_SEND: look_send(op); return;
    case IO_CONNECT: look_connect(op); return;
    case IO_POLL: look_poll(op); return;
    case IO_IDLE: break;
    }
    bug("an operation without a kind");
}

// --- cancelling

static void op_cancel_now(struct sim_op *op)
{
    if (op->ended)
        return;
    struct sim *sim = op->io->sim;
    // What could complete just before the cancel, completes; a parked receive cannot.
    if ((op->file != NULL || op->op->kind == IO_CONNECT) && !op->parked &&
        sim_chance(sim, sim->profile.cancel_loses))
        op_look(op);
    if (op->ended)
        return;
    int res = op->sent > 0 ? (int)op->sent : -ECANCELED;
    if (op->op->kind == IO_CONNECT)
        connect_undo(op);
    op_result(op, res);
}

static void sim_cancel(struct io *io, struct io_op *io_op)
{
    struct sim *sim = sim_io_of(io)->sim;
    struct sim_op *op = sim_op_of(io_op);
    sim_note(sim, "cancel", io_op->kind, op->ended, 0);
    if (op->ended || op->cancelling)
        return;
    op->cancelling = sim_chance(sim, sim->profile.cancel_late);
    if (op->cancelling)
        op_schedule(op, EV_CANCEL);
    else
        op_cancel_now(op);
}

// Its descriptor is closed: it does nothing more, but may end late.
static void op_orphan(struct sim_op *op)
{
    struct sim *sim = op->io->sim;
    if (!op->parked && sim_chance(sim, sim->profile.cancel_loses))
        op_look(op);
    if (op->ended)
        return;
    op_detach(op);
    if (op->cancelling)
        return;
    op->cancelling = sim_chance(sim, sim->profile.cancel_late);
    if (op->cancelling)
        op_schedule(op, EV_CANCEL);
    else
        op_cancel_now(op);
}

static void sim_close_fd(struct io *io, int fd, bool reset)
{
    struct sim *sim = sim_io_of(io)->sim;
    struct sim_file *file = sim_file_at(sim, fd);
    assert(file->kind != FILE_FOREIGN); // its owner closes it
    sim_note(sim, "closefd", fd, reset, 0);
    sim_io_of(io)->closed = true;
    if (file->in != NULL)
        op_orphan(file->in);
    if (file->out != NULL)
        op_orphan(file->out);
    while (!list_is_empty(&file->polls))
        op_orphan(container_of(file->polls.next, struct sim_op, poll_link));
    if (file->kind == FILE_STREAM)
        sim_end_close(file->end, reset);
    else
        sim_listener_free(file->listener);
    sim_file_free(sim, file);
}

void sim_file_abandon(struct sim_file *file)
{
    while (!list_is_empty(&file->polls)) {
        struct sim_op *op = container_of(file->polls.next, struct sim_op, poll_link);
        assert(op->cancelling); // its owner must cancel a poll before it closes the descriptor
        op_detach(op);
    }
}

void sim_io_event(struct sim *sim, const struct sim_event *event)
{
    if (event->kind == EV_WAKE) {
        struct sim_io *io = event->subject;
        if (io != NULL) // NULL: it was freed meanwhile
            io->woken = true;
        return;
    }
    struct sim_op *op = event->subject;
    assert(op->events > 0);
    op->events--;
    sim_note(sim, event->kind == EV_LOOK ? "look" : "cancelled", op->ended, 0, 0);
    if (event->kind == EV_LOOK) {
        op->late = false;
        if (op->file != NULL || op->parked) // otherwise it was closed and only its end is due
            op_ready(op);
    } else {
        op->cancelling = false;
        op_cancel_now(op);
    }
    sim_op_release(op);
}

// --- starting

static struct sim_op *op_new(struct io *io, struct io_op *io_op, struct sim_file *file)
{
    struct sim_op *op = sim_alloc(sizeof(*op));
    op->op = io_op;
    op->io = sim_io_of(io);
    op->file = file;
    list_init(&op->link);
    list_init(&op->poll_link);
    io_op->kept = op;
    op->io->in_flight++;
    sim_note(op->io->sim, "start", io_op->kind, io_op->fd, op->io->index);
    op_ready(op);
    return op;
}

static void start_in(struct io *io, struct io_op *op)
{
    struct sim_file *file = sim_file_at(sim_io_of(io)->sim, op->fd);
    assert(file->kind == (op->kind == IO_ACCEPT ? FILE_LISTENER : FILE_STREAM));
    assert(file->in == NULL); // one receive at a time
    file->in = op_new(io, op, file);
}

// FNV-1a over all that a send refers to.
static uint64_t send_sum(const struct io_op *op)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < op->count; i++)
        for (size_t at = 0; at < op->iov[i].iov_len; at++)
            sum = (sum ^ ((const uint8_t *)op->iov[i].iov_base)[at]) * UINT64_C(0x100000001b3);
    return sum;
}

static void sim_send(struct io *io, struct io_op *op)
{
    struct sim_file *file = sim_file_at(sim_io_of(io)->sim, op->fd);
    assert(file->kind == FILE_STREAM);
    assert(file->out == NULL); // one send at a time
    file->out = op_new(io, op, file);
    file->out->sum = send_sum(op);
}

// A kernel may have nothing yet of what is about to be told.
static int sim_recv_now(struct io *io, int fd, void *into, size_t len)
{
    struct sim *sim = sim_io_of(io)->sim;
    struct sim_file *file = sim_file_at(sim, fd);
    assert(file->kind == FILE_STREAM);
    assert(file->in == NULL); // one receive at a time
    int res = -EAGAIN;
    if (!sim_chance(sim, sim->profile.delay)) {
        size_t have = recv_len(sim, file->end, len);
        int verdict = have > 0 ? 1 : end_verdict(file->end);
        if (have > 0)
            res = (int)sim_end_read(file->end, into, have);
        else if (verdict <= 0)
            res = verdict;
    }
    sim_note(sim, "recvnow", fd, res, 0);
    return res;
}

static int sim_send_now(struct io *io, int fd, const struct iovec *iov, uint32_t count)
{
    struct sim *sim = sim_io_of(io)->sim;
    struct sim_file *file = sim_file_at(sim, fd);
    assert(file->kind == FILE_STREAM);
    assert(file->out == NULL); // one send at a time
    int res = -EAGAIN;
    if (!sim_chance(sim, sim->profile.delay)) {
        uint32_t sent = 0;
        int error = send_error(file->end);
        if (error == 0)
            (void)send_some(sim, file->end, iov, count, &sent);
        if (error != 0 || sent > 0)
            res = error != 0 ? -error : (int)sent;
    }
    sim_note(sim, "sendnow", fd, res, 0);
    return res;
}

static void sim_connect(struct io *io, struct io_op *op, const struct sockaddr *addr, socklen_t len)
{
    op->into = (char *)(uintptr_t)addr; // only read
    op->into_len = len;
    (void)op_new(io, op, NULL);
}

static void sim_poll(struct io *io, struct io_op *op, uint32_t events)
{
    struct sim_file *file = sim_file_at(sim_io_of(io)->sim, op->fd);
    struct sim_op *fresh = op_new(io, op, file);
    fresh->wanted = events;
    list_push_back(&file->polls, &fresh->poll_link);
}

static void sim_shutdown_fd(struct io *io, int fd)
{
    struct sim_file *file = sim_file_at(sim_io_of(io)->sim, fd);
    assert(file->kind == FILE_STREAM);
    sim_end_shutdown(file->end);
}

static struct err sim_io_listen(struct io *io, const struct sockaddr *addr, socklen_t len,
                                int backlog, int *fd_out)
{
    struct sim *sim = sim_io_of(io)->sim;
    struct sim_file *file = sim_file_new(sim, FILE_LISTENER);
    if (file == NULL)
        return ERR_SYS(SYSTEM, EMFILE);
    file->listener = sim_listener_new(sim, addr, len);
    file->listener->file = file;
    file->listener->backlog = (unsigned)backlog;
    *fd_out = file->fd;
    return OK;
}

static void sim_wake(struct io *io, struct io *from)
{
    (void)from;
    struct sim_io *to = sim_io_of(io);
    struct sim *sim = to->sim;
    sim_note(sim, "wake", to->index, to->wake_due, 0);
    if (to->wake_due)
        return; // one burst
    to->wake_due = true;
    to->woken = !sim_chance(sim, sim->profile.wake_late);
    if (!to->woken)
        sim_schedule(sim, sim_now(sim) + sim_between(sim, 1, sim->profile.delay_ns_max), EV_WAKE,
                     to, 0);
}

// --- the turn

// Receives that waited for buffers, the longest waiting first.
static void unpark(struct sim_io *io)
{
    io->refilled = false;
    for (int cls = 0; cls < BUF_CLASS_COUNT; cls++) {
        uint32_t left = io->io.bufs.cls[cls].count_max - io->io.bufs.cls[cls].count_out;
        while (left-- > 0 && !list_is_empty(&io->parked[cls]))
            op_ready(container_of(io->parked[cls].next, struct sim_op, link));
        if (!list_is_empty(&io->parked[cls]))
            io->io.bufs.starved = true;
    }
}

static void on_refill(void *arg)
{
    struct sim_io *io = arg;
    io->refilled = true;
    io->io.bufs.starved = false;
}

// Tells one completion, which may be the operation's last.
static void tell(struct sim_io *io)
{
    struct sim_cqe *cqe = container_of(list_pop_front(&io->cqes), struct sim_cqe, link);
    struct sim_op *op = cqe->op;
    struct io_done done = cqe->done;
    free(cqe);
    struct io_op *io_op = op->op;
    sim_note(io->sim, "tell", io_op->kind, done.res, io->index);
    if (io_op->kind == IO_RECV && done.res > 0) {
        io_op->credit -= (uint32_t)done.res;
        op->taken -= (uint32_t)done.res;
    }
    if (!(done.flags & IO_MORE)) {
        // The bytes had to stay as they were until now, whatever became of the send.
        assert(io_op->kind != IO_SEND || op->sum == send_sum(io_op));
        op->op = NULL;
        sim_op_release(op);
        io_op->kept = NULL;
        io_op->in_flight = false;
        io->in_flight--;
    }
    io_op->on_done(io_op, done);
}

bool sim_io_only_lazy(const struct sim_io *io)
{
    for (const struct list *at = io->cqes.next; at != &io->cqes; at = at->next) {
        const struct sim_cqe *cqe = container_of(at, const struct sim_cqe, link);
        const struct io_op *op = cqe->op->op;
        if (!op->lazy || cqe->done.res <= 0)
            return false;
    }
    return true;
}

static unsigned sim_turn(struct io *io, uint64_t until_ns)
{
    struct sim_io *self = sim_io_of(io);
    struct sim *sim = self->sim;
    io->stats.syscalls++;
    if (self->refilled)
        unpark(self);
    struct list looking; // what becomes ready meanwhile waits for the next turn
    list_init(&looking);
    list_splice(&looking, &self->ready);
    for (struct list *node; (node = list_pop_front(&looking)) != NULL;) {
        struct sim_op *op = container_of(node, struct sim_op, link);
        op->ready = false;
        op_look(op);
    }
    io_woke(io);
    bool woken = self->woken;
    if (woken) {
        self->woken = self->wake_due = false;
        if (io->on_wake != NULL)
            io->on_wake(io->on_wake_arg);
    }
    // Lazy sends do not end a wait, but their ends are told when it is over. A descriptor that was
    // closed may have been waited for.
    bool over = until_ns <= sim_now(sim) || (self->held && self->until_ns <= sim_now(sim));
    bool wait = !woken && !self->closed && !over && sim_io_only_lazy(self);
    self->closed = false;
    self->held = wait && !list_is_empty(&self->cqes);
    unsigned most = wait                                ? 0
                    : sim_chance(sim, sim->profile.few) ? 1 + (unsigned)sim_below(sim, FEW_MAX)
                                                        : IO_TURN_MAX;
    unsigned count = 0;
    for (; count < most && !list_is_empty(&self->cqes); count++)
        tell(self);
    io->stats.completions += count;
    self->idle = count == 0 && !woken && until_ns > sim_now(sim);
    self->until_ns = until_ns;
    return count;
}

// --- its life

static void sim_io_free(struct io *io)
{
    struct sim_io *self = sim_io_of(io);
    struct sim *sim = self->sim;
    assert(self->in_flight == 0);
    assert(list_is_empty(&self->cqes));
    for (size_t i = 0; i < sim->heap_count; i++)
        if (sim->heap[i].kind == EV_WAKE && sim->heap[i].subject == self)
            sim->heap[i].subject = NULL;
    bufpool_fini(&io->bufs);
    list_take(&self->link);
    free(self);
}

static const struct io_ops sim_ops = {
    .free = sim_io_free,
    .listen = sim_io_listen,
    .accept = start_in,
    .recv = start_in,
    .recv_into = start_in,
    .send = sim_send,
    .recv_now = sim_recv_now,
    .send_now = sim_send_now,
    .connect = sim_connect,
    .poll = sim_poll,
    .cancel = sim_cancel,
    .shutdown = sim_shutdown_fd,
    .close = sim_close_fd,
    .wake = sim_wake,
    .turn = sim_turn,
};

struct err sim_io_new(struct sim *sim, const struct io_config *config, struct io **out)
{
    struct sim_io *self = sim_alloc(sizeof(*self));
    self->io = (struct io){
        .ops = &sim_ops, .backend = IO_BACKEND_SIM, .env = &sim->env->env, .spin_us = 0
    };
    struct err err = bufpool_init(
        &self->io.bufs, config->bufs_small != 0 ? config->bufs_small : IO_BUFS_SMALL_DEFAULT,
        config->bufs_large != 0 ? config->bufs_large : IO_BUFS_LARGE_DEFAULT);
    if (failed(err)) {
        free(self);
        return err;
    }
    self->io.bufs.on_refill = on_refill;
    self->io.bufs.on_refill_arg = self;
    self->sim = sim;
    self->index = sim->io_count++;
    list_init(&self->ready), list_init(&self->cqes);
    for (int cls = 0; cls < BUF_CLASS_COUNT; cls++)
        list_init(&self->parked[cls]);
    list_push_back(&sim->ios, &self->link);
    *out = &self->io;
    return OK;
}
