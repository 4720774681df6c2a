/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance/commands.h"

#include <stddef.h>

#include "sim/command.h"

const MigCommandEntry mig_conformance_commands[] = {
    { "inspect", "say what is in a migration stream", mig_cmd_inspect },
    { "check", "judge whether a migration stream is conformant", mig_cmd_check },
    { "recode", "decode a stream and encode it again", mig_cmd_recode },
    { "scrub", "take a guest's secrets out of a recording", mig_cmd_scrub },
    { "extract", "write the memory image that a destination would end with", mig_cmd_extract },
    { "diff", "say what differs between two recordings", mig_cmd_diff },
    { "rules", "print the rules that check applies", mig_cmd_rules },
    { "mutate", "write streams that break one rule each", mig_cmd_mutate },
    { "calibrate", "measure what migrations cost on this host", mig_cmd_calibrate },
    { "peers", "say which QEMUs are here and what each can do", mig_cmd_peers },
    { "matrix", "migrate between all peers, under all conditions", mig_cmd_matrix },
    { "report", "render a log, a result, or rows of a sweep", mig_cmd_report },
    { NULL, NULL, NULL },
};
