/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of this folder, as sim/command.h wants them. */
#ifndef MIG_SIM_COMMANDS_H
#define MIG_SIM_COMMANDS_H

int mig_cmd_sim(int argc, char **argv);
int mig_cmd_predict(int argc, char **argv);
int mig_cmd_tune(int argc, char **argv);
int mig_cmd_source(int argc, char **argv);
int mig_cmd_dest(int argc, char **argv);
int mig_cmd_record(int argc, char **argv);
int mig_cmd_replay(int argc, char **argv);
int mig_cmd_sweep(int argc, char **argv);

#endif
