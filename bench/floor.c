// floor.c - what an empty RocksDB alone keeps resident: the part of a gateway's memory that is not
// the gateway's. Prints kilobytes before and after opening one in the given, empty folder.
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long rss_kb(void)
{
    char line[256];
    unsigned long kb = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "VmRSS: %lu", &kb) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return kb;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    unsigned long before = rss_kb();
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    char *error = NULL;
    rocksdb_t *db = rocksdb_open(options, argv[1], &error);
    if (error != NULL) {
        fprintf(stderr, "penstock-floor: %s\n", error);
        return 1;
    }
    printf("%lu %lu\n", before, rss_kb());
    rocksdb_close(db);
    rocksdb_options_destroy(options);
    return 0;
}
