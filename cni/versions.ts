/**
 * Versions of the CNI specification that are spoken. A request is answered in exactly the version it was made in.
 */
export const CNI_VERSIONS = ['0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type CniVersion = (typeof CNI_VERSIONS)[number];

export function isCniVersion(text: string): text is CniVersion {
	return (CNI_VERSIONS as readonly string[]).includes(text);
}

/** True when `version` is `other` or newer. */
export function isAtLeast(version: CniVersion, other: CniVersion): boolean {
	return CNI_VERSIONS.indexOf(version) >= CNI_VERSIONS.indexOf(other);
}
