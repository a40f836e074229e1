// watch.h - CPU time and resident memory of other processes, for the load program.
#ifndef BENCH_WATCH_H
#define BENCH_WATCH_H

#include <stdbool.h>

// `NAME=PID[,PID...]`: one figure for all of them. False for anything else, or too many.
bool watch_add(const char *text);

// Read the figures: before anything is opened, and at both ends of the measured window.
void watch_before(void);
void watch_begin(void);
void watch_end(void);

// Prints `,"watch":{"NAME":{...},...}`: nanoseconds of CPU within the window, kilobytes resident.
void watch_print(void);

#endif
