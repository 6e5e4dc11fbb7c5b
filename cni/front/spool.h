/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deletions that no agent could be told about, as files that the next one replays.
 */
#pragma once
#include "exchange.h"

/*
 * Keeps the request (without its length) in directory path, which is made if it is missing: written aside, synced,
 * renamed, directory synced. The path is changed while it works. Returns 0 when it is durable, or -1 with errno.
 */
int spool_request(char *path, const struct buffer *request);
