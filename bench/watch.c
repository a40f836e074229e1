#include "watch.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WATCHES_MAX = 4, PIDS_MAX = 16, NAME_MAX_ = 32 };

struct figures {
    uint64_t cpu_ns; // of every thread alive
    unsigned long rss_kb, anon_kb;
};

static struct watch {
    char name[NAME_MAX_];
    int pids[PIDS_MAX], pid_count;
    struct figures before, begin, end;
} watches[WATCHES_MAX];
static int watch_count;

bool watch_add(const char *text)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals - text >= NAME_MAX_ || watch_count == WATCHES_MAX)
        return false;
    struct watch *watch = &watches[watch_count++];
    memcpy(watch->name, text, (size_t)(equals - text));
    for (const char *at = equals; *at != '\0';) {
        char *end;
        long pid = strtol(at + 1, &end, 10);
        if (pid <= 0 || end == at + 1 || watch->pid_count == PIDS_MAX)
            return false;
        watch->pids[watch->pid_count++] = (int)pid;
        at = end;
    }
    return true;
}

// The scheduler's own count, in nanoseconds; the user and system times are sampled by ticks.
static uint64_t cpu_of(int pid)
{
    char path[320];
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL)
        return 0;
    uint64_t sum = 0;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, entry->d_name);
        FILE *file = entry->d_name[0] != '.' ? fopen(path, "r") : NULL;
        if (file == NULL)
            continue;
        unsigned long long cpu_ns;
        if (fscanf(file, "%llu", &cpu_ns) == 1)
            sum += cpu_ns;
        fclose(file);
    }
    closedir(tasks);
    return sum;
}

static void memory_of(int pid, struct figures *figures)
{
    char line[256];
    snprintf(line, sizeof(line), "/proc/%d/status", pid);
    FILE *file = fopen(line, "r");
    unsigned long kb;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "VmRSS: %lu", &kb) == 1)
            figures->rss_kb += kb;
        if (sscanf(line, "RssAnon: %lu", &kb) == 1)
            figures->anon_kb += kb;
    }
    if (file != NULL)
        fclose(file);
}

static struct figures figures_of(const struct watch *watch)
{
    struct figures figures = { 0 };
    for (int i = 0; i < watch->pid_count; i++) {
        figures.cpu_ns += cpu_of(watch->pids[i]);
        memory_of(watch->pids[i], &figures);
    }
    return figures;
}

void watch_before(void)
{
    for (int i = 0; i < watch_count; i++)
        watches[i].before = figures_of(&watches[i]);
}

void watch_begin(void)
{
    for (int i = 0; i < watch_count; i++)
        watches[i].begin = figures_of(&watches[i]);
}

void watch_end(void)
{
    for (int i = 0; i < watch_count; i++)
        watches[i].end = figures_of(&watches[i]);
}

void watch_print(void)
{
    printf(",\"watch\":{");
    for (int i = 0; i < watch_count; i++) {
        const struct watch *watch = &watches[i];
        printf("%s\"%s\":{\"cpu_ns\":%llu,\"rss_kb_before\":%lu,\"rss_kb\":%lu,"
               "\"anon_kb_before\":%lu,\"anon_kb\":%lu}",
               i > 0 ? "," : "", watch->name,
               (unsigned long long)(watch->end.cpu_ns - watch->begin.cpu_ns), watch->before.rss_kb,
               watch->end.rss_kb, watch->before.anon_kb, watch->end.anon_kb);
    }
    printf("}");
}
