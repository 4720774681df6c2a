/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of this folder, as sim/command.h wants them. */
#ifndef MIG_CONFORMANCE_COMMANDS_H
#define MIG_CONFORMANCE_COMMANDS_H

int mig_cmd_inspect(int argc, char **argv);
int mig_cmd_recode(int argc, char **argv);
int mig_cmd_extract(int argc, char **argv);
int mig_cmd_check(int argc, char **argv);
int mig_cmd_diff(int argc, char **argv);
int mig_cmd_rules(int argc, char **argv);
int mig_cmd_scrub(int argc, char **argv);
int mig_cmd_mutate(int argc, char **argv);
int mig_cmd_peers(int argc, char **argv);
int mig_cmd_calibrate(int argc, char **argv);
int mig_cmd_matrix(int argc, char **argv);
int mig_cmd_report(int argc, char **argv);

#endif
