/** A mistake in config.yaml, in words for the person who wrote it. */
export class ConfigError extends Error {}
