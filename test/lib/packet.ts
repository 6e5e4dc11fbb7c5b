/**
 * Packets for tests: layers → bytes → layers, with every length and checksum computed, verified and printable.
 * Shares no code with the product.
 */
export * from './packet/build.ts';
export * from './packet/bytes.ts';
export * from './packet/format.ts';
export * from './packet/layers.ts';
export * from './packet/parse.ts';
