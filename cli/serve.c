#include "cli/serve.h"

#include "base/log.h"
#include "cli/main.h"

int serve_main(int argc, char **argv)
{
    (void)argc, (void)argv;
    log_error("serve: not built yet");
    return MAIN_FAILED;
}
