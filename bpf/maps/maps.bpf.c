// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * All maps and constants in one object. The generator in native/abi reads its BTF; it is never loaded.
 */
#include "maps.h"
#include "xdp.h"
#include "config.h"
