/** Scopes that the manifest gives this worker. */
export const OWNED = ['capabilities', 'metering', 'audit', 'audit-head', 'security-keys']
