/* metrics.h - every folder's metrics, and those of the process itself. */
#ifndef CLI_METRICS_H
#define CLI_METRICS_H

/* Gives metric.h the rows of every folder. Before other threads. */
void metrics_use(void);

#endif
