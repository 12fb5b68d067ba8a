/* fault.h - named places that a test can make fail. Absent from release builds.
 *
 * fault_fail_nth(n) makes the n-th fault point that this thread reaches fail, once; fault_off()
 * ends it and tells how many points were passed.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>

#if defined(GODWIT_RELEASE)
static inline bool fault_here(void)
{
    return false;
}
#else
bool fault_here(void);
#endif

void fault_fail_nth(int nth);
int fault_off(void);

#endif
