/* SPDX-License-Identifier: Apache-2.0 */
/* The list of groups, and names of what rules say about themselves. */
#include <glib.h>
#include <string.h>

#include "conformance/rules/rule.h"

const MigRuleGroup *const mig_catalogue[] = {
    &mig_rules_framing,     &mig_rules_section,  &mig_rules_command,      &mig_rules_ram,
    &mig_rules_page,        &mig_rules_multifd,  &mig_rules_multifd_sync, &mig_rules_mapped,
    &mig_rules_return_path, &mig_rules_postcopy, &mig_rules_recovery,     &mig_rules_iterable,
    &mig_rules_device,      &mig_rules_vmdesc,   &mig_rules_writer,       NULL,
};

unsigned mig_catalogue_rule_count(void)
{
    unsigned n = 0;
    for (const MigRuleGroup *const *g = mig_catalogue; *g; g++) {
        n += (*g)->rule_count;
    }
    return n;
}

const MigRule *mig_catalogue_find(const char *id)
{
    for (const MigRuleGroup *const *g = mig_catalogue; *g; g++) {
        for (unsigned i = 0; i < (*g)->rule_count; i++) {
            if (strcmp((*g)->rules[i].id, id) == 0) {
                return &(*g)->rules[i];
            }
        }
    }
    return NULL;
}

const MigRule *mig_catalogue_fault(MigFault fault)
{
    for (const MigRuleGroup *const *g = mig_catalogue; *g; g++) {
        for (unsigned i = 0; i < (*g)->fault_count; i++) {
            if ((*g)->faults[i].fault == fault) {
                return &(*g)->rules[(*g)->faults[i].rule];
            }
        }
    }
    return NULL;
}

const char *mig_level_name(MigLevel level)
{
    static const char *const names[] = { "MUST", "SHOULD", "CANON", "INFO" };
    return names[level];
}

const char *mig_authority_name(MigAuthority authority)
{
    static const char *const names[] = { "doc", "loader", "writer", "observed", "ours" };
    return names[authority];
}

const char *mig_reaction_name(MigReaction reaction)
{
    static const char *const names[] = { "rejects", "complains", "silent",
                                         "crashes", "varies",    "cannot-see" };
    return names[reaction];
}
