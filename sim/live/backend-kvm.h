/* SPDX-License-Identifier: Apache-2.0 */
/* --backend kvm: the guest of sim/guest/kvm.h with a scenario's blocks and workloads. */
#ifndef MIG_SIM_LIVE_BACKEND_KVM_H
#define MIG_SIM_LIVE_BACKEND_KVM_H

#include "sim/live/backend.h"

/* See mig_backend_new(). A guest that is to run has said that it is ready when this returns. */
MigBackend *mig_backend_kvm_new(const MigScenario *s, bool incoming, GError **error);

#endif
