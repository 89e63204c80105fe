/* mkv: reads the command line and runs the command. */
#include <stdio.h>
#include <string.h>

#include "master/config.h"
#include "master/job_command.h"
#include "master/jobs/kinds.h"
#include "master/jobs/rebuild/rebuild.h"
#include "master/jobs/verify.h"
#include "master/server.h"

static int run(const struct config *config)
{
    if (strcmp(config->command, "rebalance") == 0)
        return job_command(config, &job_rebalance, NULL, "rebalance");
    if (strcmp(config->command, "rebuild") == 0)
        return rebuild_run(config);
    if (strcmp(config->command, "verify") == 0) {
        const struct verify_options *options =
            verify_options(config->repair, config->delete_orphans);

        return job_command(config, &job_verify, options, options->query);
    }
    return server_run(config, NULL);
}

int main(int argc, char **argv)
{
    struct config config;
    char err[512];

    switch (config_read(argc, argv, &config, err, sizeof(err))) {
    case 0:
        return run(&config);
    case 1:
        config_help(stdout);
        return 0;
    default:
        fprintf(stderr, "mkv: %s\n", err);
        return 2;
    }
}
