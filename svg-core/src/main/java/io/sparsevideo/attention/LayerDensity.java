package io.sparsevideo.attention;

/**
 * What one self-attention call computed.
 *
 * @param step denoising step, from 0
 * @param pass transformer pass within the step: 0 conditional, 1 unconditional
 * @param layer transformer layer, from 0
 * @param kind dense, or the sparse mode
 * @param density allowed (query, key) pairs / all pairs, over real tokens, mean over heads
 */
public record LayerDensity(
    int step, int pass, int layer, AttentionMode.Kind kind, double density) {}
