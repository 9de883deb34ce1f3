// The checks of all functions but attention, by the file that holds them.
#pragma once

#include "checking.h"

namespace lab {

// check_clusters.cpp
void check_kmeans(Checker& check);
void check_block_map(Checker& check);
void check_block_density(Checker& check);

// check_convolution.cpp
void check_convolution(Checker& check);

// check_indices.cpp
void check_wild_indices(Checker& check);

// check_inputs.cpp
void check_patches(Checker& check);
void check_gather_rows(Checker& check);
void check_timesteps(Checker& check);
void check_color_bytes(Checker& check);

// check_order.cpp
void check_sort_labels(Checker& check);
void check_rows_in_order(Checker& check);

// check_profile.cpp
void check_profile(Checker& check);

// check_refusals.cpp
void check_refusals(Checker& check);
void check_bad_arguments(Checker& check);

// check_rope.cpp
void check_rope(Checker& check);

// check_rows.cpp
void check_norms(Checker& check);
void check_channel_norm(Checker& check);
void check_softmax(Checker& check);
void check_elementwise(Checker& check);

// check_views.cpp
void check_views(Checker& check);
void check_plain_elementwise(Checker& check);

}  // namespace lab
