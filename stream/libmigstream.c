/* SPDX-License-Identifier: Apache-2.0 */
/* What the library as a whole says about itself. See libmigstream.h. */
#include "stream/libmigstream.h"

const char *mig_stream_version(void)
{
    return MIG_STREAM_VERSION_TEXT;
}

size_t mig_record_size(void)
{
    return sizeof(MigRecord);
}
