/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `channels` form of migrate and migrate-incoming: QAPI's MigrationChannel list, and what it
 * says as a URI.
 *
 *     [ { "channel-type": "main", "addr": { "transport": ... } } ]
 *     transport  socket  type inet:  host port [numeric ipv4 ipv6 keep-alive]
 *                        type unix:  path        type vsock: cid port      type fd: str
 *                exec    args: [ program, argument... ]
 *                rdma    host port [...]         file    filename offset
 */
#ifndef MIG_SIM_LIVE_CHANNELS_H
#define MIG_SIM_LIVE_CHANNELS_H

#include <json-c/json.h>

#include "sim/world/uri.h"

/*
 * Strict: whatever is unknown, missing or can't be done is an error that names its path
 * ("channels[0].addr.port"). The result's `text` is the URI that means the same, as far as there
 * is one.
 */
MigUri *mig_uri_from_channels(json_object *channels, GError **error);

#endif
