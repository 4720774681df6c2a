/* SPDX-License-Identifier: Apache-2.0 */
/* The program of the KVM guest: sim/guest/program, made into a ROM by the build. */
#ifndef MIG_SIM_GUEST_KVM_PROGRAM_H
#define MIG_SIM_GUEST_KVM_PROGRAM_H

#include "sim/guest/program/guest-abi.h"

extern const unsigned char mig_kvm_program[MIG_GUEST_ROM_BYTES];

#endif
