/* SPDX-License-Identifier: Apache-2.0 */
/* The changes of structure that mutators make, and where they may. For rows.c. */
#ifndef MIG_CONFORMANCE_MUTATE_MAKE_H
#define MIG_CONFORMANCE_MUTATE_MAKE_H

#include "conformance/mutate/mutate.h"

typedef void MigMake(const MigMutateSource *s, MigMutant *m, MigPrng *prng);
typedef bool MigApplies(const MigMutateSource *s, guint site, uint64_t value);

MigMake mig_make_drop_record, mig_make_repeat_record, mig_make_swap_records;
MigMake mig_make_drop_section, mig_make_repeat_section, mig_make_swap_sections;
MigMake mig_make_move_before_ram, mig_make_move_behind_end, mig_make_split_part;
MigMake mig_make_truncate_before, mig_make_truncate_inside, mig_make_trail;
MigMake mig_make_flip_payload, mig_make_first_byte, mig_make_last_byte, mig_make_grow_body;
MigMake mig_make_spell_out_zero, mig_make_name_block, mig_make_flip_name, mig_make_empty_name;
MigMake mig_make_nul_name, mig_make_short_length, mig_make_long_delta, mig_make_run_over;

/* bytes.c */
MigMake mig_make_as_full, mig_make_drop_ram, mig_make_bad_flags, mig_make_page_in_start;
MigMake mig_make_command_length, mig_make_package_nested, mig_make_config_length;
MigMake mig_make_config_unknown, mig_make_state_name, mig_make_vmdesc_page, mig_make_vmdesc_size;
MigMake mig_make_mapped_tail;
MigApplies mig_applies_structs, mig_applies_mapped_tail;

MigApplies mig_applies_footers, mig_applies_unstarted_id, mig_applies_once, mig_applies_moved_page;
MigApplies mig_applies_beyond_block, mig_applies_named, mig_applies_continued, mig_applies_swap;
MigApplies mig_applies_swap_devices, mig_applies_plain_device, mig_applies_described;
MigApplies mig_applies_until_9_2, mig_applies_since_10;
MigApplies mig_applies_part_behind, mig_applies_pages_once, mig_applies_no_delta;
MigApplies mig_applies_vmdesc, mig_applies_before_globalstate, mig_applies_total,
    mig_applies_length;
MigApplies mig_applies_one_block, mig_applies_precopy, mig_applies_switchover;
MigApplies mig_applies_plain_config, mig_applies_mapped;

/* Index of the last record of the section that |site| is (its footer, if it has one). */
guint mig_section_last(const MigMutateSource *s, guint site);

#endif
