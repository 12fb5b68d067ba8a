/* lcs.h - the longest common subsequence of two strings. */
#ifndef NODE_CMD_LCS_H
#define NODE_CMD_LCS_H

struct cmd;

/* Handler of LCS. */
void lcs_run(struct cmd *c);

#endif
