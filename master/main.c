/* mkv: reads the command line and runs the command. */
#include <stdio.h>

#include "master/config.h"
#include "master/server.h"

int main(int argc, char **argv)
{
    struct config config;
    char err[512];

    switch (config_read(argc, argv, &config, err, sizeof(err))) {
    case 0:
        return server_run(&config);
    case 1:
        config_help(stdout);
        return 0;
    default:
        fprintf(stderr, "mkv: %s\n", err);
        return 2;
    }
}
