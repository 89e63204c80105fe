/* What tests may see of the index beyond its door. */
#ifndef MASTER_INDEX_PRIVATE_H
#define MASTER_INDEX_PRIVATE_H

#include "master/index.h"
#include "master/index/writer.h"

void index_counts(struct index *index, struct writer_counts *out);
/* Where writes are refused: tries now to take them again. */
void index_retry(struct index *index);
size_t index_claims(struct index *index);

#endif
